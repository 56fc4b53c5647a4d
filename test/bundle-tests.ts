import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

const outdir = 'dist-test';

/** Where a file stands is where its source does, so that what lies beside it is found. */
const sourcePlaces: Plugin = {
  name: 'source-places',
  setup(bundle) {
    bundle.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      if (!source.includes('import.meta.')) return undefined;
      return {
        contents: source
          .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
          .replaceAll('import.meta.filename', JSON.stringify(path))
          // Not what stands in a text: the banner of another bundle.
          .replace(/import\.meta\.url(?!\);")/g, JSON.stringify(pathToFileURL(path).href)),
        loader: 'ts',
      };
    });
  },
};

/**
 * Bundles test files with what they test: loading hundreds of sources one by one, transpiled, takes each
 * file more than a second of a processor.
 *
 * @returns what to run, in the same order
 */
export async function bundleTests(files: readonly string[]): Promise<string[]> {
  rmSync(outdir, { recursive: true, force: true });
  await build({
    entryPoints: [...files],
    outdir,
    outbase: '.',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    packages: 'external',
    sourcemap: true,
    plugins: [sourcePlaces],
    logLevel: 'warning',
    absWorkingDir: resolve('.'),
  });
  return files.map((file) => join(outdir, relative('.', file)).replace(/\.ts$/, '.js'));
}
