/**
 * The relay as it runs in production: the bundle of the image, with the flags
 * that package.json's start script gives Node.js. `--source` measures the
 * sources instead, as `npm start` runs them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');

/** Words between `node` and the program in the start script. */
export const productionFlags: readonly string[] = packageJson.scripts.start
  .split(' ')
  .filter(word => word.startsWith('--'));

/** Arguments of node that start the relay, without its own. */
export async function relayProgram(directory: string, source: boolean): Promise<string[]> {
  if (source) return [...productionFlags, join(root, 'relay/main.ts')];
  await mkdir(directory, { recursive: true });
  await build({
    entryPoints: { relay: join(root, 'relay/main.ts'), 'spool-worker': join(root, 'relay/spool/worker.ts') },
    outdir: directory,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    banner: {
      js: "import { createRequire as bundledRequire } from 'node:module'; const require = bundledRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  await writeFile(join(directory, 'package.json'), '{"type":"module"}\n');
  return [...productionFlags, join(directory, 'relay.js')];
}
