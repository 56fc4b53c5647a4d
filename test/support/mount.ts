import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import { temporaryDirectory } from './temporary.ts';

/**
 * A file system of a test's own in memory; undefined, the test being skipped, where nothing can be
 * mounted. With RINGLOCK_TEST_REQUIRE_ALL=1 that is a failure.
 */
export function mountTmpfs(t: TestContext, size = '64m'): string | undefined {
  const path = temporaryDirectory(t, 'tmpfs');
  return mounted(t, path, ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs']);
}

/**
 * An overlay whose lower layer a test has filled, as a container's image is: what lies in it cannot be
 * renamed (EXDEV). Undefined as above.
 */
export function mountOverlay(
  t: TestContext,
  fillLower: (lower: string) => void,
  size?: string,
): string | undefined {
  const path = temporaryDirectory(t, 'overlay');
  const [lower, merged] = [join(path, 'lower'), join(path, 'merged')];
  for (const directory of [lower, merged]) mkdirSync(directory);
  fillLower(lower);
  // An overlay cannot be the upper layer of another, as in a container; memory can.
  const upper = mountTmpfs(t, size);
  if (upper === undefined) return undefined;
  for (const directory of ['upper', 'work']) mkdirSync(join(upper, directory));
  const layers = `lowerdir=${lower},upperdir=${upper}/upper,workdir=${upper}/work`;
  return mounted(t, merged, ['-t', 'overlay', '-o', `${layers},redirect_dir=off`, 'overlay']);
}

function mounted(t: TestContext, path: string, args: readonly string[]): string | undefined {
  try {
    execFileSync('mount', [...args, path], { stdio: 'pipe' });
  } catch (error) {
    if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') throw error;
    t.skip(`cannot mount ${args[1]} here: ${(error as Error).message.trim()}`);
    return undefined;
  }
  onEnd(t, () => execFileSync('umount', [path]));
  return path;
}
