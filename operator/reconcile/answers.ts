/**
 * What the pods say that answer now, and in words why nobody does. What a pod said once, and no longer answers, is
 * nothing that anybody may rely on. Pure.
 */
import type { Observation } from './observation.ts';
import type { PodReport } from './pod-reports.ts';
import type { RelayStatus } from './relay-status.ts';

/** Pods named in one message; why they are silent is mostly the same for all. */
const mostNamed = 3;

/** One status for each pod that has answered the last time it was asked. */
export function answersOf(reports: readonly PodReport[]): RelayStatus[] {
  return reports.flatMap(({ status, error }) => (error === undefined ? (status ?? []) : []));
}

/** `no pod answers: pod mail-a cannot be asked at port 8025 (…): see its log`. */
export function silenceSentence({ reports, workload }: Observation): string {
  const silent = reports
    .flatMap(({ pod, error }) => (error === undefined ? [] : [`pod ${pod} ${error}`]))
    .sort();
  const more = silent.length > mostNamed ? [`and ${silent.length - mostNamed} more`] : [];
  const named = [...silent.slice(0, mostNamed), ...more];
  if (named.length > 0) return `no pod answers: ${named.join('; ')}`;
  if (workload?.desired === 0) return 'no pod answers: none is wanted';
  return 'no pod answers: there is none with an address yet, see the events of the pods';
}
