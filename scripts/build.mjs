#!/usr/bin/env node
// Bundles src/ into dist/, code-split, so that a command loads only what it uses.
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { Ajv } from 'ajv';
import standaloneCode from 'ajv/dist/standalone/index.js';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

/** Replaces src/repo/validators.ts by the same schemas compiled to plain functions. */
const compiledSchemas = {
  name: 'compiled-schemas',
  setup(bundle) {
    bundle.onLoad({ filter: /[\\/]src[\\/]repo[\\/]validators\.ts$/ }, () => {
      const names = ['module', 'lock', 'ring', 'tenants', 'settings'];
      const schemas = names.map((name) =>
        JSON.parse(readFileSync(`manifests/schema/${name}.schema.json`, 'utf8')),
      );
      const ajv = new Ajv({
        schemas,
        verbose: true,
        allowUnionTypes: true,
        code: { source: true, esm: true },
      });
      const exported = Object.fromEntries(
        names.map((name, index) => [`${name}Validator`, schemas[index].$id]),
      );
      return {
        contents: standaloneCode.default(ajv, exported),
        resolveDir: process.cwd(),
        loader: 'js',
      };
    });
  },
};

/** umzug's own program, which nobody calls here, would load 600 kB of a command-line library. */
const noUmzugProgram = {
  name: 'no-umzug-program',
  setup(bundle) {
    bundle.onLoad({ filter: /[\\/]umzug[\\/]lib[\\/]cli\.js$/ }, () => ({ contents: '' }));
  },
};

rmSync('dist', { recursive: true, force: true });
const options = {
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  chunkNames: 'chunks/[name]-[hash]',
  // sql.js, as CommonJS, asks where it stands.
  define: {
    __RINGLOCK_VERSION__: JSON.stringify(version),
    __dirname: 'import.meta.dirname',
  },
  // Some bundled packages are CommonJS and call require() for node's own modules.
  banner: {
    js: "import { createRequire as ringlockCreateRequire } from 'node:module'; const require = ringlockCreateRequire(import.meta.url);",
  },
  // Parts in native code that pg and ssh2 can do without.
  external: ['pg-native', 'cpu-features', '*.node'],
  plugins: [compiledSchemas, noUmzugProgram],
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
};
await Promise.all([
  build({ ...options, entryPoints: { cli: 'src/cli.ts' }, splitting: true }),
  // By itself: in chunks shared with the program, an application would load more than twice as much.
  build({ ...options, entryPoints: { index: 'src/index.ts' } }),
]);
mkdirSync('dist/assets', { recursive: true });
copyFileSync('node_modules/sql.js/dist/sql-wasm.wasm', 'dist/assets/sql-wasm.wasm');
copyFileSync('src/pid1.sh', 'dist/pid1.sh');
for (const program of ['cli.js', 'pid1.sh']) chmodSync(`dist/${program}`, 0o755);
