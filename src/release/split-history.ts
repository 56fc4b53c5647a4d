import { badInput, environmentFailed, type RinglockError, refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { missingObjects, readGitRecords } from '../git/git-records.ts';
import { type CommitObject, commitId, writeCommits } from '../git/write-commits.ts';
import { commitTextFormat, copiedCommit, parseCommitText } from './copied-commit.ts';
import {
  appendCommits,
  readDirectoryTrees,
  readSubtreeTrailers,
  refuseIncomplete,
} from './read-history.ts';
import { reachable } from './split-ancestry.ts';
import { readSplitCache, writeSplitCache } from './split-cache.ts';
import { addCommit } from './split-plan.ts';
import {
  type DirectorySplit,
  emptySplit,
  emptyState,
  headsOf,
  type SplitState,
} from './split-state.ts';

/** What the history of one directory became. */
export interface Split {
  /** As `modules/Orders`. */
  readonly directory: string;
  /** The split's last commit; undefined when it is refused. */
  readonly commit: string | undefined;
  /** The same at the revision that is compared with; undefined where the directory was not. */
  readonly before: string | undefined;
  readonly refusal: RinglockError | undefined;
}

export interface SplitOptions {
  /** The commit that is split, as an id. */
  readonly tip: string;
  /** A commit to compare with, as an id. */
  readonly since?: string | undefined;
}

/**
 * Makes of each directory the history that `git subtree split --prefix` makes, with the same ids, in one
 * pass for all, and writes the commits that the repository lacks.
 *
 * @param directories in canonical form: no `.`, `..` or slash at an end
 * @throws RinglockError `shallow-clone`, `treeless-clone`, `git-failed`
 */
export async function splitHistory(
  repository: GitRepository,
  directories: readonly string[],
  options: SplitOptions,
): Promise<Split[]> {
  await refuseIncomplete(repository);
  const isReplaced = await replacesObjects(repository);
  const state = isReplaced ? emptyState() : await readSplitCache(repository);
  const work = { repository, directories, options };
  const known = state.commits.oids.length;
  try {
    return await continueSplits(work, state, !isReplaced);
  } catch (error) {
    if (known === 0) throw error;
    // Whatever a cache says that does not fit this repository is worth no more than having none.
    return await continueSplits(work, emptyState(), !isReplaced);
  }
}

interface Work {
  readonly repository: GitRepository;
  readonly directories: readonly string[];
  readonly options: SplitOptions;
}

async function continueSplits(
  { repository, directories, options }: Work,
  state: SplitState,
  isKept: boolean,
): Promise<Split[]> {
  const { tip, since } = options;
  const known = state.commits.oids.length;
  await readNewCommits(repository, state, since === undefined ? [tip] : [tip, since]);
  const isGrown = await planDirectories(repository, state, directories);
  const splits = directories.map((directory) => describeSplit(state, directory, options));
  const written = await completeIds(repository, state, directories, options);
  if (isKept && (isGrown || written || state.commits.oids.length > known)) {
    await writeSplitCache(repository, trimmed(state, options));
  }
  return splits.map((finish) => finish());
}

/** Replaced or grafted history is another history, and the cache is only of the true one. */
async function replacesObjects({ topLevel }: GitRepository): Promise<boolean> {
  return (await runGit(topLevel, ['for-each-ref', '--count=1', 'refs/replace'])) !== '';
}

async function readNewCommits(
  repository: GitRepository,
  state: SplitState,
  tips: readonly string[],
): Promise<void> {
  const wanted = tips.filter((tip) => !state.numbers.has(tip));
  if (wanted.length === 0) return;
  const heads = headsOf(state.commits);
  const lost = new Set(await missingObjects(repository, heads));
  const without = heads.filter((head) => !lost.has(head));
  const [trailers] = await Promise.all([
    readSubtreeTrailers(repository, wanted, without),
    appendCommits(repository, state.commits, state.numbers, wanted, without),
  ]);
  for (const { commit, directory } of trailers) {
    const number = state.numbers.get(commit);
    if (number !== undefined) state.trailers.push({ commit: number, directory });
  }
}

/** @returns whether there was something to do */
async function planDirectories(
  repository: GitRepository,
  { commits, directories: known }: SplitState,
  directories: readonly string[],
): Promise<boolean> {
  const splits = directories.map((directory) => {
    const split = known.get(directory) ?? emptySplit();
    known.set(directory, split);
    return split;
  });
  const from = Math.min(...splits.map(({ plan }) => plan.map.length));
  if (from >= commits.oids.length) return false;
  const rows = await readDirectoryTrees(repository, commits.oids.slice(from), directories);
  for (let commit = from; commit < commits.oids.length; commit++) {
    const parents = commits.parents[commit] ?? [];
    const row = rows[commit - from] ?? [];
    for (const [place, { plan }] of splits.entries()) {
      if (plan.map.length === commit) addCommit(plan, parents, row[place]);
    }
  }
  return true;
}

/** @returns what makes the account once the ids are known */
function describeSplit(
  state: SplitState,
  directory: string,
  { tip, since }: SplitOptions,
): () => Split {
  const split = state.directories.get(directory) ?? emptySplit();
  const last = lastCommit(state, split, tip);
  const refusal = trailerRefusal(state, directory, tip) ?? absence(directory, last, tip);
  return () => ({
    directory,
    commit: refusal === undefined ? split.ids[last] : undefined,
    before:
      since === undefined ? undefined : split.ids[lastCommit(state, split, since)] || undefined,
    refusal,
  });
}

/** A number of the plan, 0 where the directory is not. */
function lastCommit(state: SplitState, { plan }: DirectorySplit, revision: string): number {
  return Math.max(0, plan.map[state.numbers.get(revision) ?? -1] ?? 0);
}

function absence(directory: string, last: number, tip: string): RinglockError | undefined {
  if (last > 0) return undefined;
  return badInput('no-such-directory', `${directory} is no directory in commit ${tip}`, {
    hint: 'Name one that is committed there.',
  });
}

/**
 * What `git subtree add`, `merge --squash` and `split --rejoin` left says that other commits stand for this
 * directory's history; versions of git read that differently.
 */
function trailerRefusal(
  { trailers, commits, numbers }: SplitState,
  directory: string,
  tip: string,
): RinglockError | undefined {
  const own = trailers.filter((trailer) => mayMean(directory, trailer.directory));
  if (own.length === 0) return undefined;
  const inside = reachable({ parents: commits.parents, heights: [] }, numbers.get(tip) ?? -1);
  const found = own.find(({ commit }) => inside.has(commit));
  if (found === undefined) return undefined;
  const commit = commits.oids[found.commit];
  return refused(
    'subtree-trailers',
    `commit ${commit} has the trailer "git-subtree-dir: ${found.directory}": the history of ${directory} was brought in or joined by git subtree`,
    {
      hint: `Split it with git itself: git subtree split --prefix=${directory}`,
      details: { directory, commit },
    },
  );
}

/** git-subtree looks for the directory as a basic regular expression. */
function mayMean(directory: string, named: string): boolean {
  if (named === directory || /[*[\]^$\\]/.test(directory)) return true;
  return (
    named.length === directory.length &&
    [...directory].every((character, at) => character === '.' || character === named[at])
  );
}

/** Split commits whose texts are read, made and written at once: some 25 MB of them. */
const batchSize = 50_000;

interface Unwritten {
  readonly split: DirectorySplit;
  readonly commit: number;
}

/** Gives every split commit its id, and writes those that the repository lacks. @returns whether there were any */
async function completeIds(
  repository: GitRepository,
  state: SplitState,
  directories: readonly string[],
  options: SplitOptions,
): Promise<boolean> {
  const wanted = await unwrittenCommits(repository, state, directories, options);
  if (wanted.length === 0) return false;
  const format = await runGit(repository.topLevel, ['rev-parse', '--show-object-format']);
  const algorithm = format === 'sha256' ? 'sha256' : 'sha1';
  for (let start = 0; start < wanted.length; start += batchSize) {
    const made = await makeCommits(
      repository,
      state,
      wanted.slice(start, start + batchSize),
      algorithm,
    );
    const missing = new Set(await missingObjects(repository, [...made.keys()]));
    const commits = [...made].filter(([oid]) => missing.has(oid));
    await writeCommits(
      repository,
      commits.map(([oid, content]): CommitObject => ({ oid, content })),
      algorithm,
    );
  }
  return true;
}

/** Those without an id, and those that are needed and that git has collected since; sources in order. */
async function unwrittenCommits(
  repository: GitRepository,
  state: SplitState,
  directories: readonly string[],
  { tip }: SplitOptions,
): Promise<Unwritten[]> {
  const wanted: Unwritten[] = [];
  const known = new Map<string, Unwritten[]>();
  for (const directory of directories) {
    const split = state.directories.get(directory) ?? emptySplit();
    const needed = reachable(split.plan, lastCommit(state, split, tip));
    for (let commit = 1; commit < split.plan.trees.length; commit++) {
      const id = split.ids[commit] ?? '';
      if (id === '') wanted.push({ split, commit });
      else if (needed.has(commit)) known.set(id, [...(known.get(id) ?? []), { split, commit }]);
    }
  }
  for (const oid of await missingObjects(repository, [...known.keys()])) {
    wanted.push(...(known.get(oid) ?? []));
  }
  const source = ({ split, commit }: Unwritten): number => split.plan.sources[commit] ?? 0;
  return wanted.sort((a, b) => source(a) - source(b) || a.commit - b.commit);
}

/** @returns content by id */
async function makeCommits(
  repository: GitRepository,
  { commits }: SplitState,
  wanted: readonly Unwritten[],
  algorithm: 'sha1' | 'sha256',
): Promise<Map<string, Buffer>> {
  const bySource = new Map<string, Unwritten[]>();
  for (const one of wanted) {
    const source = commits.oids[one.split.plan.sources[one.commit] ?? -1] ?? '';
    const list = bySource.get(source);
    if (list === undefined) bySource.set(source, [one]);
    else list.push(one);
  }
  const made = new Map<string, Buffer>();
  const args = ['log', '--no-walk=unsorted', '--stdin', '-z', '--no-show-signature', '--no-notes'];
  const style = ['--encoding=UTF-8', '--date=raw', `--format=${commitTextFormat}`];
  const take = (record: Buffer): void => {
    const text = parseCommitText(record);
    for (const { split, commit } of bySource.get(text.oid) ?? []) {
      const parents = (split.plan.parents[commit] ?? []).map((parent) => split.ids[parent] ?? '');
      const content = copiedCommit(text, split.plan.trees[commit] ?? '', parents);
      const oid = commitId(content, algorithm);
      const before = split.ids[commit];
      if (before !== undefined && before !== '' && before !== oid) throw staleCache(before);
      split.ids[commit] = oid;
      made.set(oid, content);
    }
    bySource.delete(text.oid);
  };
  const input = `${[...bySource.keys()].join('\n')}\n`;
  await readGitRecords(repository, [...args, ...style], '\0', take, input);
  if (bySource.size > 0) throw staleCache([...bySource.keys()][0] ?? '');
  return made;
}

function staleCache(oid: string): RinglockError {
  return environmentFailed('split-cache-stale', `split cache: ${oid} cannot be made again`);
}

/** Most of the commits are of branches that were rewritten: better read this one again some day. */
function trimmed(state: SplitState, { tip }: SplitOptions): SplitState {
  const { commits, numbers } = state;
  const living = reachable({ parents: commits.parents, heights: [] }, numbers.get(tip) ?? -1).size;
  return commits.oids.length > 2 * living + 1000 ? emptyState() : state;
}

/** The id of the commit that a revision names. @throws RinglockError `unknown-revision` */
export async function commitOf({ topLevel }: GitRepository, revision: string): Promise<string> {
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
  const { status, stdout } = await tryGit(topLevel, args);
  if (status === 0) return stdout.toString().trim();
  throw badInput('unknown-revision', `${revision} is not a commit of this repository`, {
    hint: 'Fetch it, or name another branch, tag or commit.',
  });
}
