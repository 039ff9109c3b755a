/** The command line with run and verify faked, as a program of its own for tests. `--tty` first: pretend to be a terminal. */
import { runProgram } from '../../../relay/admin/cli/program.ts';
import { baseTime } from './fake-queue.ts';

const args = process.argv.slice(2);
const isTTY = args[0] === '--tty';
const output = (stream: NodeJS.WriteStream) => ({
  write: (text: string | Uint8Array) => stream.write(text),
  ...(isTTY && { isTTY, columns: 100 }),
});

process.exitCode = await runProgram(
  isTTY ? args.slice(1) : args,
  {
    version: '1.2.3',
    run: async options => {
      process.stdout.write(`${JSON.stringify(options)}\n`);
      return options.once === true ? 1 : 0;
    },
    verify: async path => [
      { provider: 'primary', host: 'smtp.primary.com', port: 587, ok: true, message: path, durationMs: 41.7 },
      {
        provider: 'backup',
        host: 'smtp.backup.com',
        port: 465,
        ok: path === 'good.json',
        message: '535 no',
        durationMs: 9,
      },
    ],
  },
  { stdout: output(process.stdout), stderr: output(process.stderr), env: process.env, now: () => baseTime },
);
