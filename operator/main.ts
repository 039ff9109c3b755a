/**
 * The operator's program: flags, signals and exit codes, nothing else. Exit 0
 * after a clean stop, 2 for wrong use, 1 when it cannot start or lost its lease
 * (Kubernetes starts it again, and the next one takes over).
 */
import { Operator } from './operator.ts';
import { parseOptions, UsageError } from './options.ts';

/** Longer than draining takes; a handler that hangs must not keep the process. */
const EXIT_MS = 40_000;

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2), process.env);
    const ended = Promise.withResolvers<number>();
    const operator = await Operator.start(options, () => ended.resolve(1));
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.resolve(0));
    const code = await ended.promise;
    setTimeout(() => process.exit(1), EXIT_MS).unref();
    await operator.stop();
    return code;
  } catch (error) {
    if (error instanceof UsageError) return error.exitCode;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
