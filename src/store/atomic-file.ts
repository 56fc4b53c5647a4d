import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { diskFailed, isAbsent } from './disk-error.ts';
import type { FaultPoint } from './fault-point.ts';

export interface AtomicFileOptions {
  /** Permission bits, whatever the umask; absent, those of the file replaced or the usual ones. */
  readonly mode?: number;
  readonly fault?: FaultPoint;
}

/**
 * Replaces a file so that a reader, or a machine that loses power, finds the old content or the new:
 * written beside it, fsynced, renamed, the directory fsynced.
 *
 * @throws RinglockError `disk-full`, `disk-read-only`, `disk-denied`, `disk-failed`
 */
export async function writeFileAtomically(
  path: string,
  data: string | Uint8Array | AsyncIterable<string>,
  options: AtomicFileOptions = {},
): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const mode = options.mode ?? (await modeOf(path));
    await options.fault?.(`write ${basename(path)}`);
    const file = await open(beside, 'wx');
    try {
      if (typeof data === 'string' || data instanceof Uint8Array) await file.writeFile(data);
      else await writeFile(file, data);
      if (mode !== undefined) await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await options.fault?.(`rename ${basename(path)}`);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {});
    throw diskFailed(error, path);
  }
  await options.fault?.(`sync the directory of ${basename(path)}`);
  await syncDirectory(dirname(path));
}

/**
 * Deletes what writeFileAtomically() left beside files of a directory when it was killed; only for
 * whoever alone writes them.
 *
 * @param names of the files themselves
 */
export async function removeUnfinished(directory: string, names: readonly string[]): Promise<void> {
  const found = await readdir(directory).catch((error: unknown) => {
    if (isAbsent(error)) return [];
    throw error;
  });
  for (const name of found) {
    const of = /^\.(.+)\.[0-9a-f]{12}\.tmp$/.exec(name)?.[1];
    if (of !== undefined && names.includes(of)) await rm(join(directory, name), { force: true });
  }
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o777;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Makes renames, links and removals in a directory last through a power loss. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    throw diskFailed(error, path);
  }
}
