import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { build } from 'esbuild';

/** Bundles a program for a test file's many quick starts; the path is right once tests run. */
export function bundled(entryPoint: string): () => string {
  let directory = '';
  const program = () => join(directory, 'program.mjs');
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ringlock-program-'));
    await build({
      entryPoints: [entryPoint],
      outfile: program(),
      bundle: true,
      format: 'esm',
      platform: 'node',
      external: ['node:*'],
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
      logLevel: 'error',
    });
    chmodSync(directory, 0o755); // for tests that run it as another user
  });
  after(() => rmSync(directory, { recursive: true, force: true }));
  return program;
}
