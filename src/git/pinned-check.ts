import { RinglockError } from '../errors.ts';
import { type Lock, type LockEntry, parseLock, samePin } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import type { GitRepository } from './git-command.ts';
import { digestModule } from './module-digest.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import type { Released } from './released-bytes.ts';
import { commitsWithTrees, modulePath, wantedTree } from './tree-history.ts';

/**
 * What is wrong with the entries that a change gives to pinned rings' locks, and to held modules of
 * tracking ones, in sentences: bytes other than released, a tree that is not here or has other bytes.
 *
 * @param before the commit that the locks are compared with; undefined checks every entry
 */
export async function checkPinnedLocks(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  before: string | undefined,
  released: Released,
): Promise<string[]> {
  return withObjects(repository, async (objects) => {
    const found: string[] = [];
    for (const { ring, entries } of await changedPins(objects, snapshot, before)) {
      for (const [alias, entry] of entries) {
        const problem =
          releasedProblem(alias, entry, released) ?? (await treeProblem(objects, alias, entry));
        if (problem !== undefined) found.push(`${lockFile(ring)}: ${problem}`);
      }
    }
    return found;
  });
}

/**
 * The changed pinned entries whose tree no server would keep: reachable from none of the revisions,
 * and without an artifact.
 *
 * @param revisions commits: the deploy branches', those being pushed, and tags
 */
export async function findUnreachablePins(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  before: string | undefined,
  revisions: readonly string[],
): Promise<string[]> {
  return withObjects(repository, async (objects) => {
    const found: string[] = [];
    for (const { ring, entries } of await changedPins(objects, snapshot, before)) {
      for (const [alias, entry] of entries) {
        const wanted = wantedTree(entry);
        if (wanted === undefined || entry.artifact !== null) continue;
        const commits = await commitsWithTrees(repository, objects, revisions, [wanted], 'first');
        if (commits.size > 0) continue;
        found.push(
          `${lockFile(ring)}: ${alias} ${entry.version} pins tree ${wanted.tree}, which no deploy branch and no tag reaches, so that a server may delete it\n  → Tag its commit ${alias}@${entry.version} and push the tag, or release an artifact.`,
        );
      }
    }
    return found;
  });
}

interface ChangedPins {
  readonly ring: string;
  readonly entries: readonly (readonly [string, LockEntry])[];
}

async function changedPins(
  objects: ObjectBatch,
  snapshot: PlatformSnapshot,
  before: string | undefined,
): Promise<ChangedPins[]> {
  const found: ChangedPins[] = [];
  for (const { ring } of snapshot.rings.values()) {
    const text = snapshot.lockTexts.get(ring.name);
    if (text === undefined || (ring.tracking && ring.holds.size === 0)) continue;
    const former = before && (await lockAt(objects, before, ring.name));
    if (former && former.text === text) continue;
    const entries = [...parseLock(text, ring.name).modules].filter(([alias, entry]) => {
      if (ring.tracking && !ring.holds.has(alias)) return false;
      const was = former ? former.lock?.modules.get(alias) : undefined;
      return was === undefined || !samePin(was, entry) || was.tree !== entry.tree;
    });
    found.push({ ring: ring.name, entries });
  }
  return found;
}

async function lockAt(
  objects: ObjectBatch,
  commit: string,
  ring: string,
): Promise<{ text: string; lock: Lock | undefined } | undefined> {
  try {
    const text = (await objects.readBlob(`${commit}:${lockFile(ring)}`)).toString();
    return { text, lock: readable(text, ring) };
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}

/** A former lock that cannot be read vouches for nothing. */
function readable(text: string, ring: string): Lock | undefined {
  try {
    return parseLock(text, ring);
  } catch (error) {
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}

function releasedProblem(alias: string, entry: LockEntry, released: Released): string | undefined {
  const known = released.get(alias)?.get(entry.version);
  if (known === undefined || known.sha256 === entry.sha256) return undefined;
  return `${alias} ${entry.version} has the digest ${entry.sha256}, it was released with ${known.sha256} (in ${known.commit.slice(0, 12)})\n  → A version's bytes never change: pin the released ones, or another version.`;
}

async function treeProblem(
  objects: ObjectBatch,
  alias: string,
  { directory, tree, version, sha256, artifact }: LockEntry,
): Promise<string | undefined> {
  if (tree === null || directory === null) return undefined;
  try {
    const digest = await digestModule(objects, tree, modulePath(directory), Infinity);
    const found = digest && (JSON.parse(digest.manifest) as { alias: string; version: string });
    if (found?.alias === alias && found.version === version && digest?.sha256 === sha256) {
      return undefined;
    }
    const has = found ? `${found.alias} ${found.version} with ${digest?.sha256}` : 'no module.json';
    return `${alias} ${version} with ${sha256} pins tree ${tree}, which has ${has}\n  → Pin it with ringlock ring promote or ringlock install instead of by hand.`;
  } catch (error) {
    if (!isObjectMissing(error)) throw error;
    if (artifact !== null) return undefined;
    return `${alias} ${version} pins tree ${tree}, which is not in this repository\n  → Fetch the commit it comes from: git fetch --all --tags.`;
  }
}
