import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from './atomic-file.ts';
import { diskFailed } from './disk-error.ts';
import { type StoreContext, stagingPath } from './layout.ts';
import { readOnlyDirectory, removeTree } from './module-tree.ts';

/**
 * Gives work a directory of its own below staging/, removed afterwards whatever happened, unless the
 * work moved it away.
 */
export async function withStaging<Result>(
  { root, fault }: StoreContext,
  work: (path: string) => Promise<Result>,
): Promise<Result> {
  const path = stagingName(root);
  try {
    await fault('make a staging directory');
    await mkdir(path, { mode: 0o755 });
    await chmod(path, 0o755); // mkdir's own mode goes through the umask
    return await work(path);
  } catch (error) {
    throw diskFailed(error, path);
  } finally {
    await removeTree(path).catch(() => {});
  }
}

/** A free path below staging/. */
export function stagingName(root: string): string {
  return join(stagingPath(root), randomBytes(8).toString('hex'));
}

/**
 * Moves a finished, synced directory to its place and makes it read-only there: another user than
 * root may not rename a directory that it cannot write to (rename(2), EACCES).
 */
export async function publishDirectory(
  { fault }: StoreContext,
  staged: string,
  path: string,
): Promise<void> {
  await fault('rename into place');
  await rename(staged, path);
  await fault('make read-only');
  await chmod(path, readOnlyDirectory);
  await fault('sync the directory above');
  await syncDirectory(dirname(path));
}

/** Takes a directory out of the root in one step, then deletes it: no reader sees half of it. */
export async function retireDirectory(context: StoreContext, path: string): Promise<void> {
  const retired = stagingName(context.root);
  try {
    await context.fault('retire a directory');
    await chmod(path, 0o755);
    await rename(path, retired);
    await syncDirectory(dirname(path));
    await context.fault('delete a retired directory');
    await removeTree(retired);
  } catch (error) {
    throw diskFailed(error, path);
  }
}

/** Deletes what a killed process left half-done. */
export async function cleanStaging({ root, fault }: StoreContext): Promise<void> {
  for (const name of await readdir(stagingPath(root))) {
    await fault('clean staging');
    await removeTree(join(stagingPath(root), name));
  }
}
