import { chmod, lstat, mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { badInput } from '../errors.ts';

/**
 * Makes the directory of a root, with those above it that are not there, readable by any user whatever the
 * umask: applications run as another one. What is there keeps its mode.
 *
 * @returns its path, links resolved
 * @throws RinglockError `root-not-ours`
 */
export async function makeRootDirectory(asked: string): Promise<string> {
  const first = await mkdir(asked, { recursive: true });
  const path = await realpath(asked);
  if (first !== undefined) {
    const top = await realpath(first);
    for (let at = path; at.length >= top.length; at = dirname(at)) await chmod(at, 0o755);
  }
  await refuseOthersPlace(path);
  return path;
}

/** A mistyped `--root` must not fill what is somebody's own; below it a root is welcome. */
async function refuseOthersPlace(path: string): Promise<void> {
  const isGit = (await isThere(join(path, '.git'))) || (await isBareRepository(path));
  const found = path === dirname(path) ? 'the top of the file system' : isGit && 'a git repository';
  if (found === false) return;
  throw badInput('root-not-ours', `${path} is ${found}, expected a directory of ringlock's own`, {
    hint: 'Give --root a directory of its own, also one below it.',
  });
}

async function isBareRepository(path: string): Promise<boolean> {
  const parts = await Promise.all(
    ['HEAD', 'objects', 'refs'].map((name) => isThere(join(path, name))),
  );
  return parts.every(Boolean);
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
