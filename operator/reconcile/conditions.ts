/**
 * The conditions of a MailRelay as a function of what was observed: one small
 * judge per condition, and Ready as their summary. Reasons and their meaning
 * are in operator/api/conditions.ts; every message says what to do.
 */
import type { ConditionReason } from '../api/conditions.ts';
import type { ProviderStatus } from '../api/schema-status.ts';
import { type Condition, findCondition, removeCondition, setCondition } from '../kube/conditions.ts';
import { answersOf, silenceSentence } from './answers.ts';
import { missingSentences } from './credentials.ts';
import type { Judged, Judgement } from './judgement.ts';
import { refusalSentence } from './loading.ts';
import type { Observation } from './observation.ts';
import { isUsable } from './provider-status.ts';
import { ready, reconciling } from './ready.ts';
import { spoolHealthy } from './spool-condition.ts';

/** Judges everything but Ready. */
export function judge(
  seen: Observation,
  providers: readonly ProviderStatus[],
  before: readonly Condition[],
): Judged {
  return {
    ConfigurationValid: configurationValid(seen),
    CredentialsAvailable: credentialsAvailable(seen),
    ProvidersHealthy: providersHealthy(seen, providers),
    SpoolHealthy: spoolHealthy(seen, before),
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
  const judged = judge(seen, providers, before);
  const all = { ...judged, Ready: ready(seen, judged, providers, before) };
  const observedGeneration = seen.object.metadata.generation ?? 0;
  let conditions = [...before];
  for (const [type, judgement] of Object.entries(all)) {
    if (type === 'CredentialsAvailable' && isNotLookedAt(seen) && findCondition(before, type)) continue;
    conditions =
      judgement === undefined
        ? removeCondition(conditions, type)
        : setCondition(conditions, { type, ...judgement, observedGeneration }, wallTimeMs);
  }
  return conditions;
}

/** The Secrets were not come to, since an earlier step failed or the relay goes: what was known of them stays. */
function isNotLookedAt({ credentials, secretsUnread, problems }: Observation): boolean {
  return credentials === undefined && secretsUnread === undefined && problems === undefined;
}

function configurationValid({ problems, reports }: Observation): Judgement<'ConfigurationValid'> {
  if (problems !== undefined) return { status: 'False', reason: 'Invalid', message: problems.join('; ') };
  for (const { pod, status } of reports) {
    const errors = status?.lastConfigError?.errors;
    if (errors === undefined) continue;
    const message = `pod ${pod} ${refusalSentence(errors, status?.version ?? '')}`;
    return { status: 'False', reason: 'RefusedByRelay', message };
  }
  return { status: 'True', reason: 'Valid', message: 'the configuration is valid' };
}

function credentialsAvailable(seen: Observation): Judgement<'CredentialsAvailable'> {
  const { credentials, secretsUnread, problems } = seen;
  if (problems !== undefined) {
    const message = 'no Secret is looked at before the spec is valid: see ConfigurationValid';
    return { status: 'Unknown', reason: 'InvalidConfiguration', message };
  }
  if (secretsUnread !== undefined) return { status: 'Unknown', ...secretsUnread };
  if (credentials === undefined) {
    return { status: 'Unknown', reason: 'Unknown', message: 'no Secret has been looked at yet' };
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
  seen: Observation,
  providers: readonly ProviderStatus[],
): Judgement<'ProvidersHealthy'> {
  const all = seen.relay?.spec.forwardProviders ?? [];
  if (seen.relay?.spec.forwardSMTP === false) {
    const message = 'forwardSMTP is false: mail is accepted and held';
    return { status: 'Unknown', reason: 'ForwardingOff', message };
  }
  const bad = providers.filter(provider => !isUsable(provider));
  const worse = bad.map(providerSentence);
  if (answersOf(seen.reports).length === 0) {
    return { status: 'Unknown', reason: 'NoAnswer', message: [silenceSentence(seen), ...worse].join('; ') };
  }
  const told = new Set(providers.map(({ name }) => name));
  const untold = all.map(({ name }) => name).filter(name => !told.has(name));
  const silence =
    untold.length === 0 ? [] : [`no pod that answers says anything of ${untold.join(', ')} yet`];
  if (bad.length > 0) {
    const message = [...worse, ...silence].join('; ');
    return { status: 'False', reason: worstReason(all.length, bad), message };
  }
  if (silence.length > 0) return { status: 'Unknown', reason: 'NoAnswer', message: silence.join() };
  const message = `${told.size} of ${all.length} providers can be used`;
  return { status: 'True', reason: 'AllHealthy', message };
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

function stalled({ problems, obstacles, deleting }: Observation): Judgement<'Stalled'> | undefined {
  // A deletion goes on whatever the spec says.
  if (problems !== undefined && !deleting) {
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
