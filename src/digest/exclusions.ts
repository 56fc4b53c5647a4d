import picomatch from 'picomatch';
import type { Distribution } from '../repo/module-manifest.ts';

const excludedDirectories = new Set([
  'node_modules',
  'vendor',
  '.git',
  'dist',
  'build',
  '.next',
  '.cache',
  'coverage',
]);

const excludedPaths = ['storage/framework', 'storage/logs'];

const excludedFiles = new Set([
  'composer.lock',
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'bun.lockb',
  'Cargo.lock',
  'Gemfile.lock',
  'poetry.lock',
  'uv.lock',
  '.DS_Store',
]);

/**
 * Whether a path of a module is distributed, that is, digested and installed (the two are one set).
 *
 * @param alwaysIncluded what `distribution.exclude` cannot take out: module.json and the changelog
 */
export function distributionFilter(
  distribution: Distribution,
  alwaysIncluded: readonly string[],
): (path: string) => boolean {
  const included = anyGlob(distribution.include);
  const excluded = anyGlob(distribution.exclude);
  const kept = new Set(alwaysIncluded);
  return (path) => {
    if (kept.has(path)) return true;
    if (excluded(path)) return false;
    return !excludedByDefault(path) || included(path);
  };
}

/** Whether the fixed list of DESIGN section 3 leaves a path out. */
function excludedByDefault(path: string): boolean {
  const segments = path.split('/');
  const name = segments.pop() ?? '';
  return (
    excludedFiles.has(name) ||
    segments.some((segment) => excludedDirectories.has(segment)) ||
    excludedPaths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  );
}

function anyGlob(globs: readonly string[]): (path: string) => boolean {
  if (globs.length === 0) return () => false;
  // A folder's name alone means everything below it, as in .gitignore.
  const patterns = globs.flatMap((glob) => [glob, `${glob.replace(/\/+$/, '')}/**`]);
  return picomatch(patterns, { dot: true });
}
