import { committedText } from '../repo/committed-text.ts';
import { manifestsDirectory, platformFile } from '../repo/names.ts';
import { missingOf, treeMode } from './completeness.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { Commit, ObjectReader, TreeEntry } from './object-store.ts';
import type { Remote } from './remote.ts';

/** What a commit says about its platform, without its modules' files. */
export interface CommittedPlatform {
  readonly commit: Commit;
  /** Paths of the files directly below `manifests/`, from the repository's top. */
  readonly manifestPaths: readonly string[];
  /** Text of a file below `manifests/`, or of `VERSION`; undefined when the commit does not have it. */
  readText(path: string): Promise<string | undefined>;
}

/**
 * Brings `VERSION` and everything below `manifests/` of a commit into the database.
 *
 * @param commit is in the database (Remote.fetchCommits() brings it)
 * @param previous a commit whose manifests are in the database, so that only what changed is fetched
 * @throws RinglockError what Remote.fetchTrees() throws, `object-missing`
 */
export async function fetchCommitted(
  remote: Remote,
  database: ObjectDatabase,
  commit: string,
  previous?: string,
): Promise<CommittedPlatform> {
  const { tree } = await database.readCommit(commit);
  await remote.fetchTrees([tree], { shallow: true });
  const { manifests, version } = await topEntries(database, tree);
  await remote.fetchTrees(manifests === undefined ? [] : [manifests], {
    blobs: version === undefined ? [] : [version],
    have: previous === undefined ? [] : await manifestsOf(database, previous),
  });
  return readCommitted(database, commit);
}

/**
 * The same from the database alone, for a commit that was fetched before.
 *
 * @throws RinglockError `object-missing`
 */
export async function readCommitted(
  database: ObjectReader,
  commit: string,
): Promise<CommittedPlatform> {
  const found = await database.readCommit(commit);
  const { manifests, version } = await topEntries(database, found.tree);
  const blobs = new Map<string, string>();
  if (version !== undefined) blobs.set(platformFile, version);
  if (manifests !== undefined) {
    for (const entry of await database.readTree(manifests)) {
      if (isFile(entry)) blobs.set(`${manifestsDirectory}/${entry.path}`, entry.oid);
    }
  }
  return {
    commit: found,
    manifestPaths: [...blobs.keys()].filter((path) => path !== platformFile),
    readText: async (path) => {
      const oid = blobs.get(path);
      return oid === undefined ? undefined : committedText(await database.readBlob(oid), path);
    },
  };
}

async function topEntries(
  reader: ObjectReader,
  tree: string,
): Promise<{ manifests: string | undefined; version: string | undefined }> {
  const entries = await reader.readTree(tree);
  const find = (path: string, isWanted: (entry: TreeEntry) => boolean): string | undefined =>
    entries.find((entry) => entry.path === path && isWanted(entry))?.oid;
  return {
    manifests: find(manifestsDirectory, ({ mode }) => mode === treeMode),
    version: find(platformFile, isFile),
  };
}

/** A symlink among the manifests is nothing that can be read: its target may be anywhere. */
function isFile({ mode }: TreeEntry): boolean {
  return mode.startsWith('100');
}

async function manifestsOf(database: ObjectDatabase, commit: string): Promise<string[]> {
  if (!(await database.has(commit))) return [];
  const { tree } = await database.readCommit(commit);
  const missing = await missingOf(database, { trees: [], single: [tree] });
  if (missing.single.length > 0) return [];
  const { manifests } = await topEntries(database, tree);
  return manifests === undefined ? [] : [manifests];
}
