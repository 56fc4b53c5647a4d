import semver from 'semver';
import { refused } from '../errors.ts';
import { type Lock, type LockEntry, parseLock } from '../repo/lock.ts';
import {
  type EntryConflict,
  findEntryConflicts,
  mergeLocks,
  parseConflictedLock,
} from '../repo/lock-conflict.ts';
import { lockFile } from '../repo/names.ts';
import { type GitRepository, tryGit } from './git-command.ts';
import { type ObjectBatch, withObjects } from './object-batch.ts';
import { commitsWithTrees, type WantedTree, wantedTree } from './tree-history.ts';

/**
 * The lock of a pinned ring out of a file with conflict markers: of two versions the greater one
 * when it descends from the lesser, that is, when the lesser one's tree is in history before it.
 *
 * @throws RinglockError `lock-conflict`, naming each module and both versions, when that cannot be shown
 */
export async function resolvePinnedLock(
  repository: GitRepository,
  ring: string,
  text: string,
): Promise<Lock> {
  const sides = parseConflictedLock(text, ring);
  const conflicts = findEntryConflicts(sides);
  const base = await mergeBaseLock(repository, ring);
  const chosen = await withObjects(repository, (objects) =>
    Promise.all(conflicts.map(async (conflict) => choose(repository, objects, conflict, base))),
  );
  const open = conflicts.filter((_, index) => chosen[index] === undefined);
  if (open.length > 0) {
    const lines = open.map(({ alias, ours, theirs }) => {
      const versions = `${ours?.version ?? 'absent'} on our side, ${theirs?.version ?? 'absent'} on theirs`;
      return `  ${alias}: ${versions}, and history does not show that one descends from the other`;
    });
    throw refused('lock-conflict', `${lockFile(ring)} cannot be merged:\n${lines.join('\n')}`, {
      hint: `Edit ${lockFile(ring)}: keep one side's entry for each of these, then run this again.`,
      details: { modules: open.map(({ alias }) => alias) },
    });
  }
  const choices = conflicts.map(({ alias }, index) => [alias, chosen[index] ?? null] as const);
  return mergeLocks(sides, new Map(choices));
}

/** The entry to take, null for none, undefined when it cannot be told. */
async function choose(
  repository: GitRepository,
  objects: ObjectBatch,
  { alias, ours, theirs }: EntryConflict,
  base: Lock | undefined,
): Promise<LockEntry | null | undefined> {
  if (ours === undefined || theirs === undefined) return oneSided(alias, ours ?? theirs, base);
  const order = semver.compare(ours.version, theirs.version);
  if (order === 0) return undefined;
  const [greater, lesser] = order > 0 ? [ours, theirs] : [theirs, ours];
  return (await descends(repository, objects, greater, lesser)) ? greater : undefined;
}

/** Added on one side, or taken out there while it stayed as it was on the other. */
function oneSided(
  alias: string,
  entry: LockEntry | undefined,
  base: Lock | undefined,
): LockEntry | null | undefined {
  if (base === undefined || entry === undefined) return undefined;
  const before = base.modules.get(alias);
  if (before === undefined) return entry;
  return before.sha256 === entry.sha256 && before.version === entry.version ? null : undefined;
}

/** The lock at the merge base, which git keeps in the index until the conflict is resolved. */
async function mergeBaseLock({ topLevel }: GitRepository, ring: string): Promise<Lock | undefined> {
  const { status, stdout } = await tryGit(topLevel, ['show', `:1:${lockFile(ring)}`]);
  return status === 0 ? parseLock(stdout.toString(), ring) : undefined;
}

/** Whether some commit with the lesser one's tree is an ancestor of one with the greater one's. */
async function descends(
  repository: GitRepository,
  objects: ObjectBatch,
  greater: LockEntry,
  lesser: LockEntry,
): Promise<boolean> {
  const [from, to] = [wantedTree(lesser), wantedTree(greater)];
  if (from === undefined || to === undefined) return false;
  const newer = await commitsOf(repository, objects, await everything(repository), to);
  return newer.length > 0 && (await commitsOf(repository, objects, newer, from)).length > 0;
}

/** Every ref and, in the middle of a merge, the side that may have none. */
async function everything({ topLevel }: GitRepository): Promise<string[]> {
  const heads = await tryGit(topLevel, ['rev-parse', '--quiet', '--verify', 'MERGE_HEAD']);
  return ['--all', ...heads.stdout.toString().split('\n').filter(Boolean)];
}

async function commitsOf(
  repository: GitRepository,
  objects: ObjectBatch,
  revisions: readonly string[],
  tree: WantedTree,
): Promise<readonly string[]> {
  const found = await commitsWithTrees(repository, objects, revisions, [tree], 'all');
  return found.get(tree.path) ?? [];
}
