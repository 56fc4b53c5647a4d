import { environmentFailed } from '../errors.ts';
import type { ObjectReader } from './object-store.ts';

/**
 * Whether a commit is reachable from another, by the commits that are there: history that ends locally
 * (a first contact is one commit deep) is not followed further.
 *
 * @param ancestor need not be there itself, only named as a parent
 * @throws RinglockError `object-missing` when `descendant` is not there
 */
export async function isAncestor(
  reader: ObjectReader,
  ancestor: string,
  descendant: string,
): Promise<boolean> {
  if (ancestor === descendant) return true;
  if (!(await reader.has(descendant))) {
    throw environmentFailed('object-missing', `commit ${descendant} is not there`, {
      details: { oid: descendant },
    });
  }
  const seen = new Set([descendant]);
  // Breadth first: the commit that a ring has is near the tip, and a merged branch may be long.
  let generation = [descendant];
  while (generation.length > 0) {
    const next: string[] = [];
    for (const oid of generation) {
      if (!(await reader.has(oid))) continue;
      for (const parent of (await reader.readCommit(oid)).parents) {
        if (parent === ancestor) return true;
        if (!seen.has(parent)) next.push(parent);
        seen.add(parent);
      }
    }
    generation = next;
  }
  return false;
}

/** A commit and those before it, as many generations as asked for and here. */
export async function generationsOf(
  reader: ObjectReader,
  tip: string,
  depth: number,
): Promise<string[]> {
  const found = new Set([tip]);
  let generation = [tip];
  for (let at = 1; at < depth && generation.length > 0; at++) {
    const next: string[] = [];
    for (const oid of generation) {
      for (const parent of (await reader.readCommit(oid)).parents) {
        if (found.has(parent) || !(await reader.has(parent))) continue;
        found.add(parent);
        next.push(parent);
      }
    }
    generation = next;
  }
  return [...found];
}

/** The commits reachable from one that are here without some of their parents. */
export async function historyEnds(reader: ObjectReader, from: string): Promise<string[]> {
  const ends: string[] = [];
  const seen = new Set([from]);
  const pending = [from];
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    let isEnd = false;
    for (const parent of (await reader.readCommit(oid)).parents) {
      if (seen.has(parent)) continue;
      if (await reader.has(parent)) {
        seen.add(parent);
        pending.push(parent);
      } else isEnd = true;
    }
    if (isEnd) ends.push(oid);
  }
  return ends;
}

/**
 * The commits reachable from `tip` and not from `base`, tip first. Walks by date, newest first, as git
 * does; where clocks ran backwards it may return some of the base's ancestors too.
 */
export async function commitsBetween(
  reader: ObjectReader,
  base: string,
  tip: string,
): Promise<string[]> {
  const queue: { oid: string; timestamp: number; parents: readonly string[] }[] = [];
  const queued = new Set<string>();
  const old = new Set([base]);
  const enqueue = async (oid: string): Promise<void> => {
    if (queued.has(oid) || !(await reader.has(oid))) return;
    queued.add(oid);
    const { committer, parents } = await reader.readCommit(oid);
    queue.push({ oid, timestamp: committer.timestamp, parents });
    queue.sort((a, b) => a.timestamp - b.timestamp);
  };
  await enqueue(tip);
  await enqueue(base);
  const between = new Map<string, readonly string[]>();
  while (queue.some(({ oid }) => !old.has(oid))) {
    const commit = queue.pop();
    if (commit === undefined) break;
    const isOld = old.has(commit.oid);
    if (!isOld) between.set(commit.oid, commit.parents);
    for (const parent of commit.parents) {
      if (isOld) old.add(parent);
      await enqueue(parent);
    }
  }
  // Of one second, an ancestor of the base may have come before the base itself.
  const ancestors = queue.flatMap(({ parents }) => parents);
  for (let oid = ancestors.pop(); oid !== undefined; oid = ancestors.pop()) {
    if (old.has(oid)) continue;
    old.add(oid);
    ancestors.push(...(between.get(oid) ?? []));
  }
  return [...between.keys()].filter((oid) => !old.has(oid));
}
