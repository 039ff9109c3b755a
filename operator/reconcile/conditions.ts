/**
 * The conditions of a MailRelay as a function of what was observed: one small
 * judge per condition, and Ready as their summary. Reasons and their meaning
 * are in operator/api/conditions.ts; every message says what to do.
 */
import type { ConditionReason, ConditionType } from '../api/conditions.ts';
import type { ProviderStatus } from '../api/schema-status.ts';
import { type Condition, removeCondition, setCondition } from '../kube/conditions.ts';
import { missingSentences } from './credentials.ts';
import type { Observation } from './observation.ts';
import { isUsable } from './provider-status.ts';

/** A condition before it has a time. */
export interface Judgement<T extends ConditionType = ConditionType> {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: ConditionReason<T>;
  readonly message: string;
}

export interface Judged {
  readonly ConfigurationValid: Judgement<'ConfigurationValid'>;
  readonly CredentialsAvailable: Judgement<'CredentialsAvailable'>;
  readonly ProvidersHealthy: Judgement<'ProvidersHealthy'>;
  readonly SpoolHealthy: Judgement<'SpoolHealthy'>;
  /** undefined = absent, as kstatus wants abnormal conditions. */
  readonly Reconciling: Judgement<'Reconciling'> | undefined;
  readonly Stalled: Judgement<'Stalled'> | undefined;
}

/** Judges everything but Ready. */
export function judge(seen: Observation, providers: readonly ProviderStatus[]): Judged {
  return {
    ConfigurationValid: configurationValid(seen),
    CredentialsAvailable: credentialsAvailable(seen),
    ProvidersHealthy: providersHealthy(seen, providers),
    SpoolHealthy: spoolHealthy(seen),
    Reconciling: reconciling(seen),
    Stalled: stalled(seen),
  };
}

/** The whole list, sorted, with times kept where nothing changed. */
export function conditionsOf(
  before: readonly Condition[],
  seen: Observation,
  providers: readonly ProviderStatus[],
  wallTimeMs: number,
): Condition[] {
  const judged = judge(seen, providers);
  const all = { ...judged, Ready: ready(seen, judged, providers) };
  const observedGeneration = seen.object.metadata.generation ?? 0;
  let conditions = [...before];
  for (const [type, judgement] of Object.entries(all)) {
    if (type === 'CredentialsAvailable' && isUnknownForNow(seen, before)) continue;
    conditions =
      judgement === undefined
        ? removeCondition(conditions, type)
        : setCondition(conditions, { type, ...judgement, observedGeneration }, wallTimeMs);
  }
  return conditions;
}

/** The Secrets could not be read this time; what was known of them stays. */
function isUnknownForNow(
  { credentials, secretsForbidden, retrying }: Observation,
  before: readonly Condition[],
): boolean {
  const unread = credentials === undefined && secretsForbidden === undefined && retrying.length > 0;
  return unread && before.some(({ type }) => type === 'CredentialsAvailable');
}

function configurationValid({ problems, reports }: Observation): Judgement<'ConfigurationValid'> {
  if (problems !== undefined) return { status: 'False', reason: 'Invalid', message: problems.join('; ') };
  for (const { pod, status } of reports) {
    const errors = status?.lastConfigError?.errors;
    if (errors === undefined) continue;
    const message = `pod ${pod} refused it and runs the one before: ${errors.join('; ')}`;
    return { status: 'False', reason: 'RefusedByRelay', message };
  }
  return { status: 'True', reason: 'Valid', message: 'the configuration is valid' };
}

function credentialsAvailable(seen: Observation): Judgement<'CredentialsAvailable'> {
  const { credentials, secretsForbidden } = seen;
  if (secretsForbidden !== undefined) {
    return { status: 'Unknown', reason: 'SecretForbidden', message: secretsForbidden };
  }
  if (credentials === undefined) {
    return { status: 'Unknown', reason: 'NotNeeded', message: 'no Secret has been looked at' };
  }
  if (credentials.references.length === 0) {
    return { status: 'True', reason: 'NotNeeded', message: 'the spec names no Secret' };
  }
  if (credentials.missing.length === 0) {
    return { status: 'True', reason: 'Available', message: 'every Secret and key is there' };
  }
  const reason = credentials.missing.some(({ keyOnly }) => !keyOnly) ? 'SecretMissing' : 'KeyMissing';
  return { status: 'False', reason, message: missingSentences(credentials.missing) };
}

function providersHealthy(
  { relay }: Observation,
  providers: readonly ProviderStatus[],
): Judgement<'ProvidersHealthy'> {
  if (relay?.spec.forwardSMTP === false) {
    const message = 'forwardSMTP is false: mail is accepted and held';
    return { status: 'Unknown', reason: 'ForwardingOff', message };
  }
  const bad = providers.filter(provider => !isUsable(provider));
  if (providers.length === 0) {
    return { status: 'Unknown', reason: 'Unknown', message: 'no pod has reported yet' };
  }
  if (bad.length === 0) {
    return {
      status: 'True',
      reason: 'AllHealthy',
      message: `${providers.length} of ${providers.length} providers can be used`,
    };
  }
  return {
    status: 'False',
    reason: worstReason(relay?.spec.forwardProviders.length ?? 0, bad),
    message: bad.map(providerSentence).join('; '),
  };
}

function worstReason(all: number, bad: readonly ProviderStatus[]): ConditionReason<'ProvidersHealthy'> {
  if (bad.length === all) return 'AllFailing';
  if (bad.some(({ state }) => state === 'Suspended')) return 'AuthenticationSuspended';
  if (bad.some(({ state }) => state === 'Misconfigured')) return 'Misconfigured';
  return 'SomeFailing';
}

function providerSentence({ name, state, message }: ProviderStatus): string {
  return message === undefined ? `${name} is ${state}` : `${name} is ${state}: ${message}`;
}

function spoolHealthy({ relay, reports, volumes, workload }: Observation): Judgement<'SpoolHealthy'> {
  if (relay === undefined) {
    return { status: 'Unknown', reason: 'Unknown', message: 'the volumes have not been looked at' };
  }
  for (const { pod, status } of reports) {
    if (status?.spoolFailure !== undefined) {
      return { status: 'False', reason: 'StoreFailed', message: `pod ${pod}: ${status.spoolFailure}` };
    }
  }
  const low = reports.find(({ status }) => status?.disk.low === true);
  if (low?.status !== undefined) {
    const { freeBytes, reserveBytes } = low.status.disk;
    const message = `pod ${low.pod}: ${freeBytes} bytes free, ${reserveBytes} are kept in reserve; new mail is refused until there is more: raise spool.size`;
    return { status: 'False', reason: 'DiskLow', message };
  }
  return volumeJudgement(volumes) ?? reportedSpool(reports.length, workload?.desired ?? 0);
}

function volumeJudgement(volumes: Observation['volumes']): Judgement<'SpoolHealthy'> | undefined {
  const { pending, resize, held } = volumes;
  if (held.length > 0) {
    const list = held.map(({ claim, messages }) => `${claim} (${messages})`).join(', ');
    const message = `volumes with unsent mail that no pod serves: ${list}; scale up again to send it`;
    return { status: 'False', reason: 'MailLeftBehind', message };
  }
  if (resize !== undefined) return { status: 'False', ...resize };
  if (pending.length === 0) return undefined;
  const message = `not bound: ${pending.join(', ')}; see the events of the claim`;
  return { status: 'Unknown', reason: 'VolumePending', message };
}

function reportedSpool(reports: number, desired: number): Judgement<'SpoolHealthy'> {
  if (reports === 0 && desired > 0) {
    return { status: 'Unknown', reason: 'Unknown', message: 'no pod has reported yet' };
  }
  return { status: 'True', reason: 'Healthy', message: 'the volumes are bound and have room' };
}

function stalled({ problems, obstacles }: Observation): Judgement<'Stalled'> | undefined {
  if (problems !== undefined) {
    return { status: 'True', reason: 'InvalidConfiguration', message: problems.join('; ') };
  }
  const [first] = obstacles;
  if (first === undefined) return undefined;
  return {
    status: 'True',
    reason: first.reason,
    message: obstacles.map(({ message }) => message).join('; '),
  };
}

/** Why the cluster is not yet what the spec says, while the operator is at it. */
function reconciling(seen: Observation): Judgement<'Reconciling'> | undefined {
  if (seen.problems !== undefined || seen.suspended !== undefined) return undefined;
  if (seen.deleting) return under('Draining', drainSentence(seen));
  if (seen.retrying.length > 0) return under('Retrying', seen.retrying.join('; '));
  if (seen.scale !== undefined && seen.scale.draining.length > 0) {
    return under('ScalingDown', drainSentence(seen));
  }
  if (!rolledOut(seen)) return under('Progressing', progressSentence(seen));
  const { loaded, all } = loadedReplicas(seen);
  if (loaded < all) {
    return under('LoadingConfiguration', `${loaded} of ${all} pods have loaded ${seen.fingerprint}`);
  }
  return undefined;
}

function under(reason: ConditionReason<'Reconciling'>, message: string): Judgement<'Reconciling'> {
  return { status: 'True', reason, message };
}

function drainSentence({ scale }: Observation): string {
  const pods = scale?.draining.join(', ') ?? '';
  const unsent = scale?.unsent === undefined ? 'an unknown number of' : `${scale.unsent}`;
  return `${pods} must first send ${unsent} messages`;
}

function progressSentence({ workload }: Observation): string {
  if (workload === undefined) return 'the workload is being created';
  const { ready, updated, desired } = workload;
  return `${ready} of ${desired} pods are ready, ${updated} up to date`;
}

function rolledOut({ workload }: Observation): boolean {
  if (workload === undefined) return false;
  const { observed, desired, updated, replicas, ready } = workload;
  return observed && updated >= desired && replicas <= desired && ready >= desired;
}

/** Pods that have loaded the wanted configuration, of all that run. */
export function loadedReplicas({ reports, fingerprint }: Observation): { loaded: number; all: number } {
  const loaded = reports.filter(({ status }) => status?.fingerprint === fingerprint).length;
  return { loaded, all: reports.length };
}

/** The summary: may an application count on it? */
function ready(seen: Observation, judged: Judged, providers: readonly ProviderStatus[]): Judgement<'Ready'> {
  const no = (reason: ConditionReason<'Ready'>, message: string): Judgement<'Ready'> => ({
    status: 'False',
    reason,
    message,
  });
  if (seen.problems !== undefined) return no('InvalidConfiguration', judged.ConfigurationValid.message);
  if (seen.deleting) return no('Draining', drainSentence(seen));
  if (seen.suspended !== undefined) return suspendedReady(seen.suspended.pending);
  if (judged.Stalled !== undefined) return no('Stalled', judged.Stalled.message);
  if (seen.workload === undefined || seen.workload.ready < seen.workload.desired) {
    return no('PodsUnavailable', progressSentence(seen));
  }
  const { loaded, all } = loadedReplicas(seen);
  if (loaded < all)
    return no('ConfigurationNotLoaded', `${loaded} of ${all} pods have loaded ${seen.fingerprint}`);
  return readyToSend(seen, judged, providers);
}

function readyToSend(
  { relay, workload }: Observation,
  judged: Judged,
  providers: readonly ProviderStatus[],
): Judgement<'Ready'> {
  if (relay?.spec.forwardSMTP === false) {
    return {
      status: 'True',
      reason: 'ForwardingOff',
      message: 'mail is accepted and held: forwardSMTP is false',
    };
  }
  if (workload?.desired === 0) {
    return { status: 'False', reason: 'PodsUnavailable', message: 'no pod is wanted: spec.replicas is 0' };
  }
  const usable = providers.filter(isUsable);
  if (usable.length === 0) {
    return { status: 'False', reason: 'NoUsableProvider', message: judged.ProvidersHealthy.message };
  }
  const { ConfigurationValid, CredentialsAvailable, ProvidersHealthy, SpoolHealthy } = judged;
  const unwell = [ConfigurationValid, CredentialsAvailable, ProvidersHealthy, SpoolHealthy].filter(
    ({ status }) => status === 'False',
  );
  if (unwell.length > 0) {
    return { status: 'True', reason: 'Degraded', message: unwell.map(({ message }) => message).join('; ') };
  }
  const active = providers.find(({ state }) => state === 'Active') ?? usable[0];
  return { status: 'True', reason: 'Available', message: `mail goes through ${active?.name}` };
}

function suspendedReady(pending: readonly string[]): Judgement<'Ready'> {
  const what = pending.length === 0 ? 'no changes wait' : `changes wait: ${pending.join(', ')}`;
  return { status: 'Unknown', reason: 'Suspended', message: `suspend is true; ${what}` };
}
