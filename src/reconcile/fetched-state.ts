import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { RinglockError } from '../errors.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import { setAside } from '../store/set-aside.ts';
import { type RootStatus, readStatus } from '../store/status-file.ts';
import type { Log } from './log.ts';

/** Names the commit that a branch was last converged to: every later one has to descend from it. */
export function convergedRef(branch: string): string {
  return `refs/ringlock/converged/${branch}`;
}

/**
 * A lost `repo.git` is fetched again, but what was converged last must not be lost with it (invariant
 * 6): status.json has it too. generation.json, which the reconciler falls back to, has the last commit
 * that changed a module, which may be older.
 */
export async function restoreAnchor(
  root: string,
  database: ObjectDatabase,
  branch: string,
  log: Log,
): Promise<void> {
  if ((await database.readRef(convergedRef(branch))) !== undefined) return;
  const commit = anchorOf(await readStatusIfAny(root), branch);
  if (commit === undefined) return;
  await database.writeRef(convergedRef(branch), commit);
  log.warn('repo.git had lost what was converged last; status.json has it', { commit });
}

/** The commit that a status says its branch was converged to. */
export function anchorOf(status: RootStatus | undefined, branch: string): string | undefined {
  const commit = status?.branch === branch ? status.converged_commit : null;
  return typeof commit === 'string' && /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** As readStatus(); undefined also when it cannot be read. */
export async function readStatusIfAny(root: string): Promise<RootStatus | undefined> {
  return readStatus(root).catch((error: unknown) => {
    if (error instanceof RinglockError) return undefined;
    throw error;
  });
}

/** What stands where `repo.git` belongs and is no directory goes out of the way: all of that is fetched. */
export async function setAsideDatabaseFile(root: string, now: Date, log: Log): Promise<void> {
  const found = await lstat(join(root, 'repo.git')).catch(() => undefined);
  if (found === undefined || found.isDirectory() || found.isSymbolicLink()) return;
  const to = await setAside(root, 'repo.git', now);
  log.warn('repo.git is no directory; it is moved aside and fetched again', { to });
}
