/** From what pods say to how often the status is written: time is moved by the test, the API server takes all. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type MailRelayObject, mailRelays } from '../../../operator/api/mail-relay.ts';
import type { MailRelayStatus } from '../../../operator/api/schema-status.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { createStatusWriter } from '../../../operator/kube/status.ts';
import { createWorkQueue, type HandlerResult } from '../../../operator/kube/work-queue.ts';
import { PodReports } from '../../../operator/reconcile/pod-reports.ts';
import type { RelayStatus } from '../../../operator/reconcile/relay-status.ts';
import { patienceOf, statusOf } from '../../../operator/reconcile/status.ts';
import { ManualClock } from '../../kube/manual-clock.ts';
import { threeProvidersSpec } from '../operator-api/relays.ts';
import { observed, podStatus } from './observations.ts';

const minutes = 10;

/** Writes in ten minutes after the first, when the pod answers so the n-th time it is asked. */
async function writesWhile(answer: (asked: number) => RelayStatus): Promise<number> {
  const clock = new ManualClock();
  let [asked, version, writes] = [0, 1, 0];
  let live: MailRelayObject = { ...observed().object };
  live.metadata = { ...live.metadata, uid: 'u', resourceVersion: '1' };
  const mergePatch = (_: unknown, __: unknown, { status }: { status: object }): Promise<MailRelayObject> => {
    writes += 1;
    version += 1;
    const metadata = { ...live.metadata, resourceVersion: `${version}` };
    return Promise.resolve({ ...live, metadata, status: merged(live.status, status) as MailRelayStatus });
  };
  const client = { mergePatch } as unknown as KubeClient;
  const writer = createStatusWriter({ client, fieldManager: 'test', clock });
  const report = async (): Promise<HandlerResult> => {
    const before: MailRelayStatus = live.status ?? {};
    const seen = observed({ reports: reports.of('apps/mail') }, threeProvidersSpec, before);
    const status = statusOf(seen, {}, clock.wallTime());
    const minIntervalMs = patienceOf(before, status);
    const outcome = await writer.write(mailRelays, live, status, { minIntervalMs });
    if (outcome.outcome === 'written') live = outcome.object;
    return outcome.outcome === 'deferred' ? { requeueAfterMs: outcome.afterMs } : undefined;
  };
  const queue = createWorkQueue({ handler: report, clock });
  queue.start();
  const reports: PodReports = new PodReports({
    ask: () => Promise.resolve(answer(asked++)),
    clock,
    onNews: key => queue.add(key, 'low'),
  });
  reports.follow('apps/mail', [{ name: 'mail-a', uid: 'a', ip: '10.0.0.1' }]);
  await clock.advance(1);
  const first = writes;
  assert.equal(first, 1);
  await clock.advance(minutes * 60_000);
  reports.stop();
  await queue.stop();
  assert.ok(asked > 50);
  return writes - first;
}

/** RFC 7396. */
function merged(target: unknown, patch: unknown): unknown {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as object | undefined) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

const cooling = (message: string): RelayStatus['providers'][number] => ({
  ...podStatus().providers[0]!,
  state: 'cooling',
  reason: 'Throttled',
  message,
});
const failing = (failed: number, oldestAgeSeconds = 0): Pick<RelayStatus, 'queue'> => ({
  queue: { ...podStatus().queue, failed: { messages: failed, bytes: 1, oldestAgeSeconds } },
});

describe('the status is written', () => {
  test('at most once a minute while a provider has other words at every look, and mail ages', async () => {
    const writes = await writesWhile(at => {
      const [, ...others] = podStatus().providers;
      const providers = [cooling(`421 try later id=${at}`), ...others];
      return podStatus([], { providers, ...failing(5, at * 10) });
    });
    assert.ok(writes <= minutes && writes >= minutes - 2, `${writes} writes`);
  });

  test('at most six times a minute while counts change', async () => {
    const writes = await writesWhile(at => podStatus(undefined, failing(at)));
    assert.ok(writes <= 6 * minutes && writes >= 5 * minutes, `${writes} writes`);
  });

  test('never while only ages and free bytes change', async () => {
    const disk = { reserveBytes: 1e6, totalBytes: 2e9, low: false };
    const answer = (at: number) =>
      podStatus(undefined, { ...failing(5, at), disk: { ...disk, freeBytes: 1e9 + at } });
    assert.equal(await writesWhile(answer), 0);
  });
});
