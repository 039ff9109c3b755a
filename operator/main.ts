/**
 * The operator's program: flags, signals and exit codes, nothing else. Exit 0
 * after a clean stop, 2 for wrong use, 1 when it cannot start (Kubernetes starts
 * it again).
 */
import { Operator } from './operator.ts';
import { parseOptions, UsageError } from './options.ts';
import { SelectorError } from './reconcile/caches.ts';

/** Longer than draining takes; a handler that hangs must not keep the process. */
const EXIT_MS = 40_000;

// Nothing is left to be done. A connection that is being opened to a server that does not answer would hold on for 10 s.
process.exit(await main());

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2), process.env);
    // Before anything else: as the first process of a container it would not be ended by a signal that it does not handle.
    const ended = Promise.withResolvers<undefined>();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.resolve(undefined));
    const operator = await Promise.race([Operator.start(options), ended.promise]);
    // Until its caches are synced it holds no lease and has written nothing, so that there is nothing to finish.
    if (operator === undefined) process.exit(0);
    await ended.promise;
    setTimeout(() => process.exit(1), EXIT_MS).unref();
    await operator.stop();
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return error.exitCode;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof SelectorError ? 2 : 1;
  }
}
