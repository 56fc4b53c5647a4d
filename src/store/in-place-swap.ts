import { chmod, lstat, mkdir, rename, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import { syncDirectory } from './atomic-file.ts';
import { type CopyKind, copyTree } from './copy-tree.ts';
import { isAbsent } from './disk-error.ts';
import type { FaultPoint } from './fault-point.ts';
import type { Move } from './in-place-state.ts';
import { digestTree, listTree, makeDirectory, removeTree } from './module-tree.ts';

/** Where the copies of one move are; all but `place` are ours. */
export interface SwapPaths {
  /** The module's own place in the modules directory. */
  readonly place: string;
  readonly staged: string;
  /** Once this is there, it is all that was at the place; until then the place is untouched. */
  readonly backup: string;
  /** A backup that is not yet complete. */
  readonly partial: string;
  readonly discarded: string;
}

/** The paths of a move by its position in the switch. */
export function swapPaths(place: string, work: string, index: number): SwapPaths {
  const at = (kind: string) => join(work, kind, String(index));
  return {
    place,
    staged: at('new'),
    backup: at('old'),
    partial: at('partial'),
    discarded: at('discarded'),
  };
}

/** Makes the directories that a switch keeps its copies in. */
export async function makeWorkDirectories(work: string): Promise<void> {
  await mkdir(work);
  for (const kind of ['new', 'old', 'partial', 'discarded']) await mkdir(join(work, kind));
  await syncDirectory(work);
  await syncDirectory(dirname(work));
}

/**
 * Does one move: the old away to its backup, the staged one in. Two renames where the file system can;
 * where it cannot (EXDEV: overlayfs for what lies in a lower layer, without redirect_dir; EBUSY: a mount
 * point), the old one is copied to the backup and deleted.
 */
export async function swapIn(paths: SwapPaths, move: Move, fault: FaultPoint): Promise<void> {
  if (move.before !== null) await moveAway(paths, move.before, fault);
  if (move.after === null) return;
  await fault('put a module in');
  await makeParents(paths.place);
  await moveTree(paths.staged, paths.place, 'module', fault);
  await syncDirectory(dirname(paths.place));
}

/** Undoes a move, however far it came; a second time does no harm. */
export async function swapBack(paths: SwapPaths, move: Move, fault: FaultPoint): Promise<void> {
  const { place, backup } = paths;
  if (move.before !== null && !(await isThere(backup))) return;
  await fault('take a module out again');
  await discard(paths, fault);
  if (move.before === null) return;
  await fault('put a module back');
  await makeParents(place);
  await moveTree(backup, place, 'backup', fault);
  await syncDirectory(dirname(place));
}

/** Removes directories above a module that nothing is left in, below the modules directory. */
export async function removeEmptyParents(
  modulesDirectory: string,
  directory: string,
): Promise<void> {
  const segments = directory.split('/');
  for (let length = segments.length - 1; length > 0; length--) {
    // What is not empty stays, and what is missing needs nothing.
    await rmdir(join(modulesDirectory, ...segments.slice(0, length))).catch(() => {});
  }
}

async function makeParents(place: string): Promise<void> {
  const parent = dirname(place);
  if (await isThere(parent)) return;
  await makeParents(parent);
  await makeDirectory(parent);
}

async function moveAway(
  { place, partial, backup }: SwapPaths,
  before: string,
  fault: FaultPoint,
): Promise<void> {
  await fault('move a module away');
  if (!(await renamed(place, backup))) {
    await removeTree(partial);
    await copyTree(place, partial, 'backup', fault);
    const { digest } = await digestTree(partial);
    if (digest !== before) throw changedMeanwhile(place, before, digest);
    await fault('complete a backup');
    await rename(partial, backup);
    await syncDirectory(dirname(backup));
    await wipe(place, fault);
  }
  await syncDirectory(dirname(place));
  await syncDirectory(dirname(backup));
}

function changedMeanwhile(place: string, before: string, found: string) {
  return environmentFailed(
    'modules-dir-changed',
    `${place} has the digest ${found}, and had ${before} a moment ago`,
    { hint: 'Something else writes there. Nothing was replaced; the next tick tries again.' },
  );
}

/** Takes what is at the place out of sight at once, if it can be, then deletes it. */
async function discard({ place, discarded }: SwapPaths, fault: FaultPoint): Promise<void> {
  if (!(await isThere(place))) return;
  await removeTree(discarded);
  if (await renamed(place, discarded)) {
    await syncDirectory(dirname(place));
    await fault('delete what was taken out');
    await removeTree(discarded);
  } else await wipe(place, fault);
}

async function moveTree(
  from: string,
  to: string,
  kind: CopyKind,
  fault: FaultPoint,
): Promise<void> {
  if (await renamed(from, to)) return;
  await copyTree(from, to, kind, fault);
  const [wanted, found] = [await digestTree(from), await digestTree(to)];
  if (found.digest !== wanted.digest) throw changedMeanwhile(to, wanted.digest, found.digest);
}

/** @returns false where the file system can move this directory only by copying it */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (['EXDEV', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** Deletes a directory name by name; a mount point itself stays, empty. */
async function wipe(path: string, fault: FaultPoint): Promise<void> {
  const { files, directories, others } = await listTree(path);
  for (const directory of ['', ...directories]) await chmod(join(path, directory), 0o755);
  for (const file of [...files, ...others]) {
    await fault('delete an old file');
    await unlink(join(path, file));
  }
  await fault('delete the old directories');
  for (const directory of [...directories].reverse()) await rmdir(join(path, directory));
  try {
    await rmdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
