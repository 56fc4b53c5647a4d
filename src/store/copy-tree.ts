import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  open,
  readlink,
  symlink,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { environmentFailed } from '../errors.ts';
import { syncDirectory } from './atomic-file.ts';
import type { FaultPoint } from './fault-point.ts';
import { listTree, makeDirectory, readOnlyFile } from './module-tree.ts';

/**
 * `module`: modes as in the store, but directories that their owner may replace, and the time of now,
 * since caches of compiled code go by it. `backup`: owner, modes, times and links as they are.
 */
export type CopyKind = 'module' | 'backup';

/** Files copied at once: fsyncs that run together share a journal commit of the file system. */
const writers = 16;

/**
 * Copies a directory to a place that is not there or empty, and syncs all of it.
 *
 * @throws RinglockError `modules-dir-special-file` for what is neither file, directory nor link; errors
 *   of the file system as they are
 */
export async function copyTree(
  from: string,
  to: string,
  kind: CopyKind,
  fault: FaultPoint,
): Promise<void> {
  const { files, directories, others } = await listTree(from);
  await fault('copy a directory');
  await makeDirectory(to);
  for (const directory of directories) await mkdir(join(to, directory), { mode: 0o755 });
  const copy = (file: string) => copySynced(join(from, file), join(to, file), kind, fault);
  await forEachOrFirstError(files, copy);
  for (const other of others) await copyLink(join(from, other), join(to, other));
  await fault('finish a copied directory');
  for (const directory of [...directories].reverse()) {
    await finishDirectory(join(from, directory), join(to, directory), kind);
  }
  await finishDirectory(from, to, kind);
}

/** Starts nothing more after a failure, and returns only when nothing runs any more. */
async function forEachOrFirstError(
  files: readonly string[],
  work: (file: string) => Promise<void>,
): Promise<void> {
  const limit = pLimit(writers);
  let failure: { readonly error: unknown } | undefined;
  const runOne = async (file: string) => {
    if (failure !== undefined) return;
    try {
      await work(file);
    } catch (error) {
      failure ??= { error };
    }
  };
  await Promise.all(files.map((file) => limit(() => runOne(file))));
  if (failure !== undefined) throw failure.error;
}

async function copySynced(
  from: string,
  to: string,
  kind: CopyKind,
  fault: FaultPoint,
): Promise<void> {
  await fault('copy a file');
  // A clone where the file system has them; its blocks are shared only until one of the two changes.
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  if (kind === 'backup') await keepFacts(from, to);
  else await chmod(to, readOnlyFile(((await lstat(from)).mode & 0o111) !== 0));
  const file = await open(to, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function copyLink(from: string, to: string): Promise<void> {
  const found = await lstat(from);
  if (!found.isSymbolicLink()) {
    throw environmentFailed(
      'modules-dir-special-file',
      `${from} is neither a file, a directory nor a link, and cannot be copied to a backup`,
      { hint: 'Remove it: a socket or a pipe does not belong into a module.' },
    );
  }
  await symlink(await readlink(from), to);
  if (process.getuid?.() === 0) await lchown(to, found.uid, found.gid);
}

async function finishDirectory(from: string, to: string, kind: CopyKind): Promise<void> {
  if (kind === 'backup') await keepFacts(from, to);
  else await chmod(to, 0o755); // mkdir's own mode goes through the umask
  await syncDirectory(to);
}

/** Only root may give a file away; for anybody else what is copied was theirs, or readable at least. */
async function keepFacts(from: string, to: string): Promise<void> {
  const found = await lstat(from);
  if (process.getuid?.() === 0) await lchown(to, found.uid, found.gid);
  await chmod(to, found.mode & 0o7777);
  await utimes(to, found.atime, found.mtime);
}
