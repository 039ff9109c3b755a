/**
 * Writes the programs as they go into the image: `dist/relay.js` with its spool
 * thread beside it, and `dist/operator.js`, each whole in one file that needs
 * Node.js and nothing else. Run by `npm run bundle`; an argument names another
 * directory than `dist`.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import packageJson from './package.json' with { type: 'json' };

const root = import.meta.dirname;
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

/** How package.json starts each program; all but the program's name is what its first line says. */
const { start, 'start:operator': startOperator } = packageJson.scripts;

/**
 * An `import` of node:http evaluates each of its exports, and with WebSocket
 * loads undici: 3 MiB of memory that nobody uses. This way it stays lazy.
 */
const lazyHttp: Plugin = {
  name: 'lazy-http',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:https?$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'lazy-http' } : { path, external: true },
    );
    bundler.onLoad({ filter: /.*/, namespace: 'lazy-http' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
  },
};

const shared: BuildOptions = {
  outdir: dist,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  mainFields: ['module', 'main'], // jsonc-parser's main cannot be bundled
  plugins: [lazyHttp],
  // Node.js keeps the text in memory. Names and short lines stay, for the traces of errors.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
  legalComments: 'linked',
  logLevel: 'warning',
};

await rm(dist, { recursive: true, force: true });
await write(start, {
  relay: join(root, 'relay/main.ts'),
  /** relay/spool/open.ts looks for its thread under this very name. */
  'spool-worker': join(root, 'relay/spool/worker.ts'),
});
await write(startOperator, { operator: join(root, 'operator/main.ts') });
await writeFile(join(dist, 'package.json'), '{"type":"module"}\n');
for (const program of ['relay', 'operator']) await chmod(join(dist, `${program}.js`), 0o755);

async function write(script: string, entryPoints: Record<string, string>): Promise<void> {
  const interpreter = script.slice(0, script.search(/ \S+\.ts\b/));
  // Dependencies that are CommonJS call `require` for Node's own modules.
  const requireForBundled =
    "import { createRequire as bundledRequire } from 'node:module'; const require = bundledRequire(import.meta.url);";
  await build({
    ...shared,
    entryPoints,
    banner: { js: `#!/usr/bin/env -S ${interpreter}\n${requireForBundled}` },
  });
}
