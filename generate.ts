/**
 * Brings every generated file up to date: schema, custom resource definition,
 * reference pages. With `--check` nothing is written, and a file that differs
 * from its source makes this fail. Every source file named `generate-*.ts` or
 * `write-*.ts` is a generator and understands `--check`.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import process from 'node:process';

const generators = globSync('{relay,operator,charts,docs}/**/{generate,write}-*.ts', {
  cwd: import.meta.dirname,
});
for (const generator of generators.sort()) {
  const { status } = spawnSync(process.execPath, [generator, ...process.argv.slice(2)], {
    cwd: import.meta.dirname,
    stdio: 'inherit',
  });
  if (status === 0) continue;
  process.stderr.write(
    `${generator} failed${process.argv.includes('--check') ? ': run npm run generate' : ''}\n`,
  );
  process.exitCode = 1;
}
process.stderr.write(`${generators.length} generators ran\n`);
