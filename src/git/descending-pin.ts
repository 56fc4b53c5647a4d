import pLimit from 'p-limit';
import type { LockEntry } from '../repo/lock.ts';
import type { ContestedEntry } from '../repo/lock-merge.ts';
import { type GitRepository, tryGit } from './git-command.ts';
import { type ObjectBatch, withObjects } from './object-batch.ts';
import { commitsWithTrees, type WantedTree, wantedTree } from './tree-history.ts';

export interface DecidedEntries {
  /** The greater version of each module where it descends from the lesser one, by alias. */
  readonly chosen: ReadonlyMap<string, LockEntry>;
  /** Where history does not show that. */
  readonly open: readonly ContestedEntry[];
}

/**
 * Of two versions of a module the greater one, when it descends from the lesser: when the lesser
 * one's tree is in history before it.
 *
 * @param environment git's, which names the heads that are being merged
 */
export async function chooseDescending(
  repository: GitRepository,
  contested: readonly ContestedEntry[],
  environment: NodeJS.ProcessEnv,
): Promise<DecidedEntries> {
  if (contested.length === 0) return { chosen: new Map(), open: [] };
  const heads = await everyHead(repository, environment);
  // Each asks git for the whole history: a promotion of all modules would start a hundred at once.
  const limit = pLimit(4);
  const descended = await withObjects(repository, (objects) =>
    Promise.all(contested.map((entry) => limit(descends, repository, objects, heads, entry))),
  );
  const isChosen = (_: unknown, index: number) => descended[index] === true;
  return {
    chosen: new Map(
      contested.filter(isChosen).map(({ alias, greater }) => [alias, greater] as const),
    ),
    open: contested.filter((_, index) => !isChosen(_, index)),
  };
}

/** Whether some commit with the lesser one's tree is an ancestor of one with the greater one's. */
async function descends(
  repository: GitRepository,
  objects: ObjectBatch,
  heads: readonly string[],
  { greater, lesser }: ContestedEntry,
): Promise<boolean> {
  const [from, to] = [wantedTree(lesser), wantedTree(greater)];
  if (from === undefined || to === undefined) return false;
  const newer = await commitsOf(repository, objects, heads, to);
  return newer.length > 0 && (await commitsOf(repository, objects, newer, from)).length > 0;
}

/** What git calls the side that comes in, while it merges, picks or rebases. */
const headsInProgress = ['MERGE_HEAD', 'CHERRY_PICK_HEAD', 'REVERT_HEAD', 'REBASE_HEAD'];

/** Every ref and, in the middle of a merge, the side that may have none. */
async function everyHead(
  { topLevel }: GitRepository,
  environment: NodeJS.ProcessEnv,
): Promise<string[]> {
  // `git merge` writes MERGE_HEAD only once it is through, and names its heads in GITHEAD_<id>.
  const named = Object.keys(environment).flatMap(
    (name) => /^GITHEAD_([0-9a-f]{40,64})$/.exec(name)?.[1] ?? [],
  );
  const heads = await Promise.all(
    headsInProgress.map(async (head) => {
      const found = await tryGit(topLevel, ['rev-parse', '--quiet', '--verify', `${head}^0`]);
      return found.status === 0 ? found.stdout.toString().trim() : '';
    }),
  );
  return ['--all', ...named, ...heads.filter(Boolean)];
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
