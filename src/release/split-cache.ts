import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GitRepository } from '../git/git-command.ts';
import type { SplitPlan } from './split-plan.ts';
import { type DirectorySplit, emptyState, type SplitState } from './split-state.ts';

/** Raise it with every change to what a split is, or to what is kept here. */
const cacheVersion = 1;

/** Where the state of the splits is kept: a local file that may be deleted at any time. */
export function splitCacheFile({ commonDir }: GitRepository): string {
  return join(commonDir, 'ringlock', 'split-cache.json');
}

/**
 * What was kept, or nothing when there is no such file, or one that is cut off, changed, or of another
 * version: the first line is the digest of the rest.
 */
export async function readSplitCache(repository: GitRepository): Promise<SplitState> {
  try {
    const bytes = await readFile(splitCacheFile(repository));
    const end = bytes.indexOf(0x0a);
    const text = bytes.subarray(end + 1);
    if (bytes.toString('latin1', 0, end) !== digestOf(text)) return emptyState();
    const kept = JSON.parse(text.toString()) as KeptState;
    return kept.version === cacheVersion ? restored(kept) : emptyState();
  } catch {
    return emptyState();
  }
}

/** Replaced by rename; a cache that cannot be written costs time, nothing else. */
export async function writeSplitCache(repository: GitRepository, state: SplitState): Promise<void> {
  const text = Buffer.from(JSON.stringify(kept(state)));
  const target = splitCacheFile(repository);
  const beside = `${target}.${randomUUID()}`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(beside, Buffer.concat([Buffer.from(`${digestOf(text)}\n`), text]));
    await rename(beside, target);
  } catch {
    // A read-only git directory: the next run reads all of the history again.
  }
}

function digestOf(text: Uint8Array): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

interface KeptState {
  readonly version: number;
  /** Ids in one text; each has `idLength` characters. */
  readonly idLength: number;
  readonly oids: string;
  readonly parents: SplitState['commits']['parents'];
  readonly trailers: SplitState['trailers'];
  readonly directories: Readonly<Record<string, KeptDirectory>>;
}

interface KeptDirectory {
  /** How many commits the plan covers. */
  readonly length: number;
  /** Commit and value in turn, where the value is not the first parent's: most are. */
  readonly map: readonly number[];
  readonly gone: SplitPlan['gone'];
  readonly trees: string;
  readonly ids: string;
  readonly parents: SplitPlan['parents'];
  readonly sources: readonly number[];
}

function kept({ commits, trailers, directories }: SplitState): KeptState {
  const idLength = commits.oids[0]?.length ?? 40;
  return {
    version: cacheVersion,
    idLength,
    oids: commits.oids.join(''),
    parents: commits.parents,
    trailers,
    directories: Object.fromEntries(
      [...directories].map(([name, { plan, ids }]) => [
        name,
        {
          length: plan.map.length,
          map: plan.map.flatMap((value, commit) =>
            value === inherited(plan.map, commits.parents[commit]) ? [] : [commit, value],
          ),
          gone: plan.gone,
          trees: plan.trees.join(''),
          ids: ids.join(''),
          parents: plan.parents,
          sources: plan.sources,
        },
      ]),
    ),
  };
}

function inherited(map: readonly number[], parents: readonly number[] = []): number {
  return map[parents[0] ?? -1] ?? 0;
}

function restored(file: KeptState): SplitState {
  const oids = cut(file.oids, file.idLength);
  return {
    commits: { oids, parents: file.parents },
    numbers: new Map(oids.map((oid, number) => [oid, number])),
    trailers: file.trailers,
    directories: new Map(
      Object.entries(file.directories).map(([name, directory]) => [
        name,
        restoredDirectory(directory, file),
      ]),
    ),
  };
}

function restoredDirectory(directory: KeptDirectory, file: KeptState): DirectorySplit {
  const map: number[] = [];
  let next = 0;
  for (let commit = 0; commit < directory.length; commit++) {
    if (directory.map[next] === commit) {
      map.push(directory.map[next + 1] ?? 0);
      next += 2;
    } else map.push(inherited(map, file.parents[commit]));
  }
  const heights: number[] = [];
  for (const parents of directory.parents) {
    heights.push(1 + Math.max(0, ...parents.map((parent) => heights[parent] ?? 0)));
  }
  heights[0] = 0;
  const { gone, parents, sources } = directory;
  const trees = ['', ...cut(directory.trees, file.idLength)];
  return {
    plan: { map, gone: [...gone], trees, parents, sources: [...sources], heights },
    ids: ['', ...cut(directory.ids, file.idLength)],
  };
}

function cut(text: string, length: number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += length) pieces.push(text.slice(at, at + length));
  return pieces;
}
