// Bundles the extension into dist/extension.js and, for `npm test`, the tests beside it. `--watch` rebuilds on change.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, context } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['vscode'],
  logLevel: 'warning',
};

const extension = {
  ...common,
  entryPoints: [here('src/extension.ts')],
  outfile: here('dist/extension.js'),
  minify: true,
};
const unitTests = {
  ...common,
  entryPoints: readdirSync(here('test')).map((name) => here(`test/${name}`)),
  outdir: here('dist/test'),
};
const hostTests = {
  ...common,
  entryPoints: [here('../../tests/vscode/suite.ts')],
  outfile: here('dist/suite.js'),
  nodePaths: [here('node_modules')],
  logOverride: { 'require-resolve-not-external': 'silent' }, // Mocha's parallel runner, which is not used.
};

if (process.argv.includes('--watch')) {
  await (await context(extension)).watch();
} else if (process.argv.includes('--production')) {
  await build(extension);
} else {
  await Promise.all([extension, unitTests, hostTests].map((options) => build(options)));
}
