import { type Lock, parseLock } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';

/** What a commit changed in a ring's lock: alias → the version and digest after it, or undefined for a removal. */
export type LockChange = ReadonlyMap<string, string | undefined>;

/** What a commit changed in a ring's lock, compared with its first parent. */
export async function readLockChange(
  repository: GitRepository,
  commit: string,
  ring: string,
): Promise<LockChange> {
  const after = await pinsAt(repository, commit, ring);
  const before = await pinsAt(repository, `${commit}^1`, ring);
  const aliases = new Set([...before.keys(), ...after.keys()]);
  const changed = [...aliases].filter((alias) => before.get(alias) !== after.get(alias));
  return new Map(changed.map((alias) => [alias, after.get(alias)]));
}

/** Whether what a commit changed stands unchanged in a later one. */
export async function containsLockChange(
  repository: GitRepository,
  commit: string,
  ring: string,
  change: LockChange,
): Promise<boolean> {
  const pins = await pinsAt(repository, commit, ring);
  return [...change].every(([alias, pin]) => pins.get(alias) === pin);
}

/** Whether one commit can be reached from another; false, too, when either is not here. */
export async function isAncestorHere(
  repository: GitRepository,
  ancestor: string,
  descendant: string,
): Promise<boolean> {
  const args = ['merge-base', '--is-ancestor', ancestor, descendant];
  return (await tryGit(repository.topLevel, args)).status === 0;
}

/** Brings a commit that is not here from the default remote, as far as that is possible. */
export async function ensureCommit(repository: GitRepository, commit: string): Promise<void> {
  const { topLevel } = repository;
  const here = await tryGit(topLevel, ['cat-file', '-e', `${commit}^{commit}`]);
  if (here.status === 0) return;
  const [remote] = (await runGit(topLevel, ['remote'])).split('\n');
  if (remote !== undefined && remote !== '') await tryGit(topLevel, ['fetch', '--quiet', remote]);
}

async function pinsAt(
  repository: GitRepository,
  commit: string,
  ring: string,
): Promise<Map<string, string>> {
  const path = lockFile(ring);
  const { status, stdout } = await tryGit(repository.topLevel, ['show', `${commit}:${path}`]);
  if (status !== 0) return new Map();
  const lock: Lock = parseLock(stdout.toString(), ring, `${commit.slice(0, 12)}:${path}`);
  return new Map(
    [...lock.modules].map(([alias, { version, sha256 }]) => [alias, `${version} ${sha256}`]),
  );
}
