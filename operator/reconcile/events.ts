/** Which events a change of status is worth: few, each once, in whole sentences. Pure. */
import { type EventReason, eventReasons } from '../api/conditions.ts';
import type { MailRelayStatus, ProviderStatus } from '../api/schema-status.ts';
import type { EventNote } from '../kube/event-wire.ts';
import type { Observation } from './observation.ts';
import { inWords, isAllSent } from './on-board.ts';
import { isUsable } from './provider-status.ts';
import { claimOfPod } from './volumes.ts';

/** Events for what is different between two statuses of one MailRelay. */
export function eventsOf(before: MailRelayStatus, after: MailRelayStatus, seen: Observation): EventNote[] {
  return [
    ...providerEvents(before.providers ?? [], after.providers ?? []),
    ...failoverEvents(before, after),
    ...conditionEvents(before, after),
    ...scaleEvents(before, seen),
    ...resendEvents(before, after),
    ...loadedEvents(before, after),
  ];
}

function note(reason: EventReason, text: string): EventNote {
  return { type: eventReasons[reason][0], reason, note: text };
}

function providerEvents(before: readonly ProviderStatus[], after: readonly ProviderStatus[]): EventNote[] {
  return after.flatMap(provider => {
    const was = before.find(({ name }) => name === provider.name);
    if (was === undefined || was.state === provider.state) return [];
    const why = provider.message === undefined ? '' : `: ${provider.message}`;
    if (provider.state === 'Suspended') {
      return [
        note(
          'ProviderSuspended',
          `${provider.name} refused its credentials and is not used until they change${why}`,
        ),
      ];
    }
    if (isUsable(provider) && !isUsable(was)) {
      return [note('ProviderRecovered', `${provider.name} can be used again; it was ${was.state}`)];
    }
    return [];
  });
}

function failoverEvents(before: MailRelayStatus, after: MailRelayStatus): EventNote[] {
  const [from, to] = [before.activeProvider, after.activeProvider];
  const left = after.providers?.find(({ name }) => name === from);
  if (from === undefined || to === undefined || from === to || left === undefined || isUsable(left))
    return [];
  const why = left.message === undefined ? '' : `: ${left.message}`;
  return [
    note('ProviderFailedOver', `mail goes through ${to} instead of ${from}, which is ${left.state}${why}`),
  ];
}

function conditionEvents(before: MailRelayStatus, after: MailRelayStatus): EventNote[] {
  /** From a worse state to this one is no news of trouble. */
  const became = (type: string, reason: string, worse?: string): string | undefined => {
    const was = before.conditions?.find(condition => condition.type === type);
    const is = after.conditions?.find(condition => condition.type === type);
    const isNew = was?.reason !== reason && (worse === undefined || was?.reason !== worse);
    return is?.reason === reason && isNew ? is.message : undefined;
  };
  const pairs: readonly [EventReason, string, string, string?][] = [
    ['AllProvidersFailing', 'ProvidersHealthy', 'AllFailing'],
    ['SpoolNearlyFull', 'SpoolHealthy', 'NearlyFull', 'DiskLow'],
    ['SpoolFull', 'SpoolHealthy', 'DiskLow'],
    ['ConfigurationRefused', 'ConfigurationValid', 'RefusedByRelay'],
    ['NameTaken', 'Stalled', 'NameTaken'],
    ['VolumeDeleted', 'SpoolHealthy', 'VolumeDeleted'],
  ];
  return pairs.flatMap(([event, type, reason, worse]) => {
    const message = became(type, reason, worse);
    return message === undefined ? [] : [note(event, message)];
  });
}

function scaleEvents(before: MailRelayStatus, { relay, scale, deleting, volumes }: Observation): EventNote[] {
  const left = volumes.held.filter(
    ({ claim }) => !(before.heldVolumes ?? []).some(known => known.claim === claim),
  );
  const kept = relay?.spec.spool.retention === 'Delete' ? ', so that it is kept' : '';
  const events = left.map(held => {
    const { claim } = held;
    const on = `on ${claim}: ${inWords(held)}`;
    if (deleting) return note('DeleteLeftMail', `${on}${kept}; a MailRelay of this name takes it up again`);
    const went = scale?.leaving.some(({ pod }) => relay !== undefined && claimOfPod(relay, pod) === claim);
    if (went !== true) return note('MailFound', `${on}; no pod serves it`);
    const why = isAllSent(held) ? 'its pod has gone' : 'its pod has gone before it could send all';
    return note('ScaleDownLeftMail', `${on}; ${why}`);
  });
  const draining = before.conditions?.some(
    ({ type, reason: was }) => type === 'Reconciling' && (was === 'ScalingDown' || was === 'Draining'),
  );
  if (scale === undefined || scale.draining.length === 0 || draining === true) return events;
  const begins = deleting ? 'DeleteDraining' : 'ScaleDownDraining';
  return [...events, note(begins, `${scale.draining.join(', ')} send what they have before they go`)];
}

/** For replicas of the workload that somebody else has lowered, and that are raised again. */
export function refusedEvent(what: string, to: number, replicas: number): EventNote {
  const why = 'since a replica must send what it has before it goes: scale the MailRelay';
  return note(
    'ScaleDownRefused',
    `somebody set the replicas of ${what} to ${to}; they are ${replicas} again, ${why}`,
  );
}

function resendEvents(before: MailRelayStatus, after: MailRelayStatus): EventNote[] {
  const asked = after.lastHandledResendAt;
  if (asked === undefined || asked === before.lastHandledResendAt) return [];
  return [note('ResendRequested', `all failed mail is sent again, as asked at ${asked}`)];
}

/** Every pod runs what was written last, after some did not. */
function loadedEvents(before: MailRelayStatus, after: MailRelayStatus): EventNote[] {
  const { fingerprint, loadedReplicas = 0 } = after.config ?? {};
  const { replicas = 0 } = after;
  const changed = before.config !== undefined && before.config.fingerprint !== undefined;
  const loadedBefore =
    before.config?.fingerprint === fingerprint && before.config?.loadedReplicas === loadedReplicas;
  if (!changed || loadedBefore || replicas === 0 || loadedReplicas < replicas) return [];
  return [note('ConfigurationLoaded', `all ${replicas} pods run configuration ${fingerprint}`)];
}
