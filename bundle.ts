/**
 * Writes the programs as they go into the image: `dist/relay.js` with its spool
 * thread beside it, and `dist/operator.js`, each whole in one file that needs
 * Node.js and nothing else. Run by `npm run bundle`; an argument names another
 * directory than `dist`.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';
import packageJson from './package.json' with { type: 'json' };

const root = import.meta.dirname;
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

/** relay/spool/open.ts looks for its thread under this very name. */
const entryPoints = {
  relay: join(root, 'relay/main.ts'),
  'spool-worker': join(root, 'relay/spool/worker.ts'),
  operator: join(root, 'operator/main.ts'),
};

/** Dependencies that are CommonJS call `require` for Node's own modules. */
const requireForBundled =
  "import { createRequire as bundledRequire } from 'node:module'; const require = bundledRequire(import.meta.url);";

/** Flags that `npm start` gives Node.js: the programs carry them in their first line. */
const nodeFlags = packageJson.scripts.start.split(' ').filter(word => word.startsWith('--'));

await rm(dist, { recursive: true, force: true });
await build({
  entryPoints,
  outdir: dist,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  mainFields: ['module', 'main'], // jsonc-parser's main cannot be bundled
  banner: { js: `#!/usr/bin/env -S node ${nodeFlags.join(' ')}\n${requireForBundled}` },
  legalComments: 'linked',
  logLevel: 'warning',
});
await writeFile(join(dist, 'package.json'), '{"type":"module"}\n');
for (const program of ['relay', 'operator']) await chmod(join(dist, `${program}.js`), 0o755);
