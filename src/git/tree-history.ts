import type { LockEntry } from '../repo/lock.ts';
import { type GitRepository, runGit } from './git-command.ts';
import { isObjectMissing, type ObjectBatch } from './object-batch.ts';

/** A tree at a path, looked for in history. */
export interface WantedTree {
  /** From the repository's top: `modules/Orders`. */
  readonly path: string;
  readonly tree: string;
}

/** Where a lock entry's tree would stand in a commit, or undefined for an entry that does not say. */
export function wantedTree({ directory, tree }: LockEntry): WantedTree | undefined {
  if (directory === null || tree === null) return undefined;
  return { path: modulePath(directory), tree };
}

/** The path of a lock's directory from the repository's top: `Orders` is `modules/Orders`. */
export function modulePath(directory: string): string {
  return directory.includes('/') ? directory : `modules/${directory}`;
}

/**
 * The commits among those reachable from revisions in which each wanted tree stands at its path,
 * newest first, by path; paths whose tree is nowhere are absent. The whole history is asked for
 * once, whatever the number of trees, and read until every tree was seen.
 *
 * @param how `first` stops at one commit for each tree
 */
export async function commitsWithTrees(
  { topLevel }: GitRepository,
  objects: ObjectBatch,
  revisions: readonly string[],
  wanted: readonly WantedTree[],
  how: 'first' | 'all',
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  if (wanted.length === 0 || revisions.length === 0) return found;
  const folders = byFolder(wanted);
  // Without full history git prunes a side branch whose end was not kept, and with it its trees.
  const listed = await runGit(topLevel, [
    'rev-list',
    '--full-history',
    ...revisions,
    '--',
    ...wanted.map(({ path }) => path),
  ]);
  const commits = listed.split('\n').filter(Boolean);
  // Read in windows, so that one recent commit does not cost a read of the whole history.
  for (let start = 0; start < commits.length; start += windowSize) {
    const window = commits.slice(start, start + windowSize);
    const seen = window.map((commit) => treesIn(objects, commit, folders));
    for (const [index, paths] of (await Promise.all(seen)).entries()) {
      for (const path of paths) {
        const list = found.get(path) ?? [];
        list.push(window[index] ?? '');
        found.set(path, list);
      }
    }
    if (how === 'first' && found.size === new Set(wanted.map(({ path }) => path)).size) break;
  }
  return found;
}

const windowSize = 64;

function byFolder(wanted: readonly WantedTree[]): Map<string, WantedTree[]> {
  const folders = new Map<string, WantedTree[]>();
  for (const each of wanted) {
    const folder = each.path.slice(0, each.path.lastIndexOf('/'));
    folders.set(folder, [...(folders.get(folder) ?? []), each]);
  }
  return folders;
}

async function treesIn(
  objects: ObjectBatch,
  commit: string,
  folders: ReadonlyMap<string, readonly WantedTree[]>,
): Promise<string[]> {
  const found = [...folders].map(async ([folder, wanted]) => {
    const entries = await entriesOf(objects, `${commit}:${folder}`);
    const trees = new Map(entries.map(({ path, oid }) => [`${folder}/${path}`, oid]));
    return wanted.filter(({ path, tree }) => trees.get(path) === tree).map(({ path }) => path);
  });
  return (await Promise.all(found)).flat();
}

async function entriesOf(objects: ObjectBatch, spec: string) {
  try {
    return await objects.readTree(spec);
  } catch (error) {
    // Before the folder was made, or after it was removed.
    if (isObjectMissing(error)) return [];
    throw error;
  }
}
