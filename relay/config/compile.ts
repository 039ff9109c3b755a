/**
 * config.json → RelayConfig: validates, fills in defaults, converts units,
 * fetches credentials, and names every mistake at once. A function of the
 * file and of `sources`; throws nothing but ConfigError.
 */
import { compileListener } from './compile-listener.ts';
import { compileProviders } from './compile-providers.ts';
import type { RelayConfig, ReplyRule, ResendConfig, RetryConfig } from './config.ts';
import type { Findings, Problem } from './findings.ts';
import { credentialsFingerprintOf, fingerprintOfValue, secretsIn } from './fingerprint.ts';
import { ConfigError, problemsOf } from './problems.ts';
import type { Json } from './read.ts';
import { repair } from './repair.ts';
import { type ConfigDocument, configSchema } from './schema.ts';
import { type RecordedSources, recorded, type Sources } from './sources.ts';
import { unknownKeyWarnings } from './unknown-keys.ts';

/** config.json as it was read → what the relay runs by. @throws ConfigError */
export function compile(file: Json, sources: Sources): RelayConfig {
  const parsed = configSchema.safeParse(file);
  if (!parsed.success) {
    const alone = problemsOf(configSchema, file, parsed.error);
    const problems = [...alone, ...problemsTogether(file, sources)];
    throw new ConfigError(problems, { warnings: unknownKeyWarnings(file) });
  }
  const document = parsed.data;
  const findings: Findings = { problems: [], warnings: unknownKeyWarnings(file) };
  const outside = recorded(sources);
  const { providers, listener } = compileParts(document, outside, findings);
  const { problems, warnings } = findings;
  if (problems.length > 0) {
    const sentences = problems.map(({ sentence }) => sentence);
    throw new ConfigError(sentences, { warnings });
  }
  const forwarding = document.forwardSMTP ?? true;
  warnUnusable(providers, findings);
  return {
    forwarding,
    providers,
    retry: compileRetry(document),
    resend: compileResend(document),
    replyRules: compileReplyRules(document),
    listener,
    dataDir: document.dataDir,
    sharedDataDir: document.sharedDataDir,
    draining: document.draining.includes(sources.hostname),
    ...(document.resendRequestedAt !== undefined && { resendRequestedAt: document.resendRequestedAt }),
    ...(document.diskReserveBytes !== undefined && { diskReserveBytes: document.diskReserveBytes }),
    health: compileHealth(document, sources),
    adminPort: document.adminPort,
    logLevel: document.logLevel,
    shutdown: {
      graceMs: document.shutdown.graceSeconds * 1000,
      deadlineMs: document.shutdown.deadlineSeconds * 1000,
    },
    fingerprint: fingerprintOfValue(file),
    credentialsFingerprint: credentialsFingerprint(file, outside),
    warnings: findings.warnings,
  };
}

type Parts = Pick<RelayConfig, 'providers' | 'listener'>;

/** What is more than one key's own affair. Mistakes go to `findings`; the result then means nothing. */
function compileParts(document: ConfigDocument, sources: Sources, findings: Findings): Parts {
  const providers = compileProviders(document, sources, findings);
  const listener = compileListener(document, sources, findings);
  checkTogether(document, findings);
  return { providers, listener };
}

/** Of a file with wrong values: the mistakes that the others make together, as far as that can be told. */
function problemsTogether(file: Json, sources: Sources): string[] {
  const repaired = repair(configSchema, file);
  if (repaired === undefined) return [];
  const findings: Findings = { problems: [], warnings: [] };
  compileParts(repaired.document, sources, findings);
  const certain = ({ keys }: Problem) => !keys.some(repaired.isMadeUp);
  return findings.problems.filter(certain).map(({ sentence }) => sentence);
}

function checkTogether(document: ConfigDocument, findings: Findings): void {
  const noProvider = (document.forwardProviders ?? []).length === 0 && !document.forwardHost;
  if (noProvider && document.forwardSMTP !== false) {
    findings.problems.push({
      keys: ['forwardProviders', 'forwardHost', 'forwardSMTP'],
      sentence: 'forwardProviders: must list at least one provider, or forwardSMTP must be false',
    });
  }
  const { initialDelaySeconds, maxDelaySeconds } = document.resend;
  if (maxDelaySeconds < initialDelaySeconds) {
    findings.problems.push({
      keys: ['resend.maxDelaySeconds', 'resend.initialDelaySeconds'],
      sentence: `resend.maxDelaySeconds: ${maxDelaySeconds} must be at least resend.initialDelaySeconds, which is ${initialDelaySeconds}`,
    });
  }
  checkPorts(document, findings);
}

function checkPorts(document: ConfigDocument, findings: Findings): void {
  const users = new Map<number, string>();
  const ports: [string, number][] = [
    ['smtpPort', document.smtpPort],
    ['adminPort', document.adminPort],
  ];
  if (document.enableHealthCheck) ports.push(['healthCheckPort', document.healthCheckPort]);
  for (const [key, port] of ports) {
    const other = users.get(port);
    if (port !== 0 && other !== undefined) {
      findings.problems.push({
        keys: [key, other, 'enableHealthCheck'],
        sentence: `${key}: ${port} must differ from ${other}`,
      });
    }
    users.set(port, key);
  }
}

function warnUnusable(providers: RelayConfig['providers'], findings: Findings): void {
  for (const { name, misconfigured } of providers) {
    if (misconfigured !== undefined) {
      findings.warnings.push(`provider ${name} cannot be used: ${misconfigured}`);
    }
  }
}

function compileRetry({ retry }: ConfigDocument): RetryConfig {
  return {
    attempts: retry.attempts,
    initialDelayMs: retry.initialDelayMilliseconds,
    multiplier: retry.multiplier,
    patienceMs: retry.patienceSeconds * 1000,
  };
}

function compileResend({ resend }: ConfigDocument): ResendConfig {
  return {
    initialDelayMs: resend.initialDelaySeconds * 1000,
    maxDelayMs: resend.maxDelaySeconds * 1000,
    multiplier: resend.multiplier,
    jitter: resend.jitter,
    expireAfterMs: resend.expireAfterSeconds * 1000,
    deadRetentionMs: resend.deadRetentionSeconds * 1000,
    deadMaxMessages: resend.deadMaxMessages,
    deadMaxBytes: resend.deadMaxBytes,
    bounces: resend.bounces,
  };
}

/** exactOptionalPropertyTypes: an absent key must be absent, not undefined. */
function compileReplyRules({ replyRules }: ConfigDocument): ReplyRule[] {
  return replyRules.map(({ stage, code, enhanced, contains, meaning }) => ({
    ...(stage !== undefined && { stage }),
    ...(code !== undefined && { code }),
    ...(enhanced !== undefined && { enhanced }),
    ...(contains !== undefined && { contains }),
    meaning,
  }));
}

function compileHealth(document: ConfigDocument, sources: Sources): RelayConfig['health'] {
  return {
    host: document.healthCheckHost ?? document.smtpHost ?? sources.defaultHost,
    ...(document.enableHealthCheck && { port: document.healthCheckPort }),
  };
}

/** Everything secret, and every file that the configuration rests on, certificates included. */
function credentialsFingerprint(file: Json, outside: RecordedSources): string {
  const byName = (a: readonly [string, unknown], b: readonly [string, unknown]) => (a[0] < b[0] ? -1 : 1);
  return credentialsFingerprintOf(
    [secretsIn(file), [...outside.files].sort(byName), [...outside.variables].sort(byName)],
    outside.digestKey,
  );
}
