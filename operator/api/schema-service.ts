/** How applications reach a MailRelay: the Service that bears its name. */
import * as z from 'zod';
import { choice, matching, whole } from '../../relay/config/schema-fields.ts';
import { annotationMap, listMap, withRules } from './fields.ts';

const portSchema = z
  .strictObject({
    name: matching(
      /^[a-z](?:[-a-z0-9]{0,13}[a-z0-9])?$/,
      'at most 15 lower-case letters, digits and -, beginning with a letter',
      'The name of the port; unique.',
    ).max(15),
    port: whole(1, 65_535, 'The port that applications connect to.'),
    nodePort: whole(
      1,
      65_535,
      'The port on every node, within the range that the cluster allows. Absent: the cluster chooses. Only with type NodePort or LoadBalancer.',
    ).optional(),
  })
  .describe('One port. All lead to the same SMTP listener.');

/** Ports 25 and 587, where programs look for a mail server. */
export const defaultServicePorts = [
  { name: 'smtp', port: 25 },
  { name: 'submission', port: 587 },
];

/** spec.service. */
export const serviceSchema = withRules(
  z
    .strictObject({
      type: choice(
        ['ClusterIP', 'NodePort', 'LoadBalancer'],
        'ClusterIP: reachable inside the cluster only. NodePort, LoadBalancer: from outside too; look at listener.allowedNetworks and listener.auth then.',
      ).default('ClusterIP'),
      externalTrafficPolicy: choice(
        ['Cluster', 'Local'],
        'Local keeps the address of clients outside the cluster, which listener.allowedNetworks needs to tell them apart. Only with type NodePort or LoadBalancer.',
      ).optional(),
      annotations: annotationMap('Annotations of the Service, for load balancers and DNS.').optional(),
      ports: withRules(
        listMap(portSchema, { key: 'name', max: 8, description: 'The ports of the Service.' }).min(1),
        [
          {
            rule: 'self.all(p, self.exists_one(q, q.port == p.port))',
            message: 'must not have the same port twice',
          },
        ],
      ).default(defaultServicePorts),
    })
    .describe('The Service that applications send mail to: <name>.<namespace>.svc.'),
  [
    {
      rule: "self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)",
      message: 'must be absent unless type is NodePort or LoadBalancer',
      fieldPath: '.externalTrafficPolicy',
    },
    {
      rule: "self.type != 'ClusterIP' || !self.ports.exists(p, has(p.nodePort))",
      message: 'must have no nodePort unless type is NodePort or LoadBalancer',
      fieldPath: '.ports',
    },
  ],
);

/** The Service with its defaults filled in. */
export type ServiceSpec = z.output<typeof serviceSchema>;
