import { treeMode } from '../git/completeness.ts';
import type { Commit, ObjectReader, TreeEntry } from '../git/object-store.ts';
import { lockFile, manifestsDirectory } from '../repo/names.ts';

/** Fetches trees (themselves only, not what they contain), as far as they are not there. */
export type FetchTreesThemselves = (oids: readonly string[]) => Promise<void>;

/** How many commits behind the tip are searched for the one that changed the lock. */
const searchedCommits = 256;

/**
 * The commit that gave the ring's lock its present content: from `tip` back along parents that have
 * the same lock (git's history simplification), as far as commits are known here. It is the commit
 * whose author deployed.
 */
export async function findLockCommit(
  objects: ObjectReader,
  tip: Commit,
  ring: string,
  fetchTrees: FetchTreesThemselves,
): Promise<Commit> {
  // Most often the tip itself changed the lock: its parents are then all that has to be read.
  const near = await walkBack(objects, tip, ring, fetchTrees, 1 + tip.parents.length);
  if (near === tip) return tip;
  return await walkBack(objects, tip, ring, fetchTrees, searchedCommits);
}

async function walkBack(
  objects: ObjectReader,
  tip: Commit,
  ring: string,
  fetchTrees: FetchTreesThemselves,
  limit: number,
): Promise<Commit> {
  const known = await knownCommits(objects, tip, limit);
  const lockOf = await lockIds([...known.values()], objects, ring, fetchTrees);
  const wanted = lockOf.get(tip.oid);
  let at = tip;
  for (;;) {
    const same: Commit | undefined = at.parents
      .map((parent) => known.get(parent))
      .find((parent) => parent !== undefined && lockOf.get(parent.oid) === wanted);
    if (same === undefined) return at;
    at = same;
  }
}

/** A commit and those before it, nearest first, as far as they are here. */
export async function knownCommits(
  objects: ObjectReader,
  tip: Commit,
  limit: number,
): Promise<Map<string, Commit>> {
  const known = new Map([[tip.oid, tip]]);
  const queue = [...tip.parents];
  for (let oid = queue.shift(); oid !== undefined; oid = queue.shift()) {
    if (known.size >= limit) break;
    if (known.has(oid) || !(await objects.has(oid))) continue;
    const commit = await objects.readCommit(oid);
    known.set(oid, commit);
    queue.push(...commit.parents);
  }
  return known;
}

/** Commit id → object id of the ring's lock in it; commits without one are left out. */
export async function lockIds(
  commits: readonly Commit[],
  objects: ObjectReader,
  ring: string,
  fetchTrees: FetchTreesThemselves,
): Promise<Map<string, string>> {
  await fetchTrees(commits.map(({ tree }) => tree));
  const manifests = new Map<string, string>();
  for (const { oid, tree } of commits) {
    const entry = await entryOf(objects, tree, manifestsDirectory);
    if (entry?.mode === treeMode) manifests.set(oid, entry.oid);
  }
  await fetchTrees([...new Set(manifests.values())]);
  const name = lockFile(ring).slice(manifestsDirectory.length + 1);
  const locks = new Map<string, string>();
  for (const [oid, tree] of manifests) {
    const entry = await entryOf(objects, tree, name);
    if (entry !== undefined) locks.set(oid, entry.oid);
  }
  return locks;
}

async function entryOf(
  objects: ObjectReader,
  tree: string,
  name: string,
): Promise<TreeEntry | undefined> {
  return (await objects.readTree(tree)).find(({ path }) => path === name);
}
