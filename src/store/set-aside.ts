import { chmod, lstat, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './atomic-file.ts';
import { diskFailed } from './disk-error.ts';
import { damagedPath } from './layout.ts';
import { makeDirectory } from './module-tree.ts';

/** One thing that was wrong with a root, and what was done about it; names are those of `--json`. */
export interface Repair {
  /** Relative to the root. */
  readonly path: string;
  readonly found: string;
  readonly did: string;
  /** Where the damaged thing is kept, relative to the root; null when nothing had to move. */
  readonly moved_to: string | null;
}

/**
 * Moves something of a root to `damaged/<time>-<name>`, where it stays until a person deletes it:
 * what is damaged is evidence.
 *
 * @param name relative to the root
 * @returns the new place, relative to the root
 * @throws RinglockError `disk-…`, as for a mount point, which cannot be moved
 */
export async function setAside(root: string, name: string, now: Date): Promise<string> {
  const from = join(root, name);
  try {
    const to = await freePlace(root, name, now);
    // Another user than root may not move a directory that it cannot write to (rename(2), EACCES).
    if ((await lstat(from)).isDirectory()) await chmod(from, 0o755);
    await rename(from, join(root, to));
    await syncDirectory(damagedPath(root));
    await syncDirectory(join(from, '..'));
    return to;
  } catch (error) {
    throw diskFailed(error, from);
  }
}

/** A directory of its own below `damaged/`, for several things that belong together. */
export async function makeAsideDirectory(root: string, name: string, now: Date): Promise<string> {
  const place = await freePlace(root, name, now);
  await mkdir(join(root, place), { mode: 0o755 });
  await syncDirectory(damagedPath(root));
  return place;
}

async function freePlace(root: string, name: string, now: Date): Promise<string> {
  await makeDirectory(damagedPath(root));
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '');
  const base = `damaged/${time}-${name.replaceAll('/', '-')}`;
  for (let count = 1; ; count++) {
    const place = count === 1 ? base : `${base}.${count}`;
    if ((await lstat(join(root, place)).catch(() => undefined)) === undefined) return place;
  }
}
