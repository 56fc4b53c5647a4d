import { refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { readGitRecords } from '../git/git-records.ts';
import { ObjectBatch } from '../git/object-batch.ts';

/** Commits that are reachable from some tips, parents before children; the numbers are places in `oids`. */
export interface CommitList {
  readonly oids: string[];
  readonly parents: (readonly number[])[];
}

/**
 * Refuses a clone that lacks commits or trees: ids depend on all of the history, and git would fetch what
 * a partial clone lacks one by one. Files alone may be missing.
 *
 * @throws RinglockError `shallow-clone`, `treeless-clone`
 */
export async function refuseIncomplete({ topLevel }: GitRepository): Promise<void> {
  const [isShallow, filters] = await Promise.all([
    runGit(topLevel, ['rev-parse', '--is-shallow-repository']),
    tryGit(topLevel, ['config', '--get-regexp', '^remote\\..*\\.partialclonefilter$']),
  ]);
  if (isShallow === 'true') {
    throw refused(
      'shallow-clone',
      `${topLevel} is a shallow clone: the ids of a split depend on all of the history`,
      {
        hint: 'Fetch the rest: git fetch --unshallow. In GitLab CI set GIT_DEPTH: 0, in a GitHub workflow fetch-depth: 0.',
      },
    );
  }
  if (!/\btree:/.test(filters.stdout.toString())) return;
  throw refused(
    'treeless-clone',
    `${topLevel} is a clone without trees: a split reads those of every commit`,
    { hint: 'Clone it again, without --filter=tree:0; --filter=blob:none will do.' },
  );
}

/** Appends to a list what is reachable from tips and not in it yet. */
export async function appendCommits(
  repository: GitRepository,
  list: CommitList,
  numbers: Map<string, number>,
  tips: readonly string[],
  without: readonly string[],
): Promise<void> {
  const wanted = tips.filter((tip) => !numbers.has(tip));
  if (wanted.length === 0) return;
  const args = ['rev-list', '--topo-order', '--reverse', '--parents', '--stdin'];
  const input = [...wanted, ...without.map((oid) => `^${oid}`)].join('\n');
  const take = (record: Buffer): void => {
    const [oid = '', ...parents] = record.toString('latin1').split(' ');
    if (numbers.has(oid)) return;
    numbers.set(oid, list.oids.length);
    list.oids.push(oid);
    list.parents.push(parents.flatMap((parent) => numbers.get(parent) ?? []));
  };
  await readGitRecords(repository, args, '\n', take, `${input}\n`);
}

/** A directory that a commit message names in a `git-subtree-dir:` trailer. */
export interface SubtreeTrailer {
  readonly commit: string;
  readonly directory: string;
}

/** The trailers that `git subtree` left in what is reachable from tips. */
export async function readSubtreeTrailers(
  repository: GitRepository,
  tips: readonly string[],
  without: readonly string[],
): Promise<SubtreeTrailer[]> {
  if (tips.length === 0) return [];
  const found: SubtreeTrailer[] = [];
  const args = ['log', '-z', '--no-show-signature', '--encoding=UTF-8', '--format=%H%n%B'];
  const take = (record: Buffer): void => {
    const [commit = '', ...lines] = record.toString().split('\n');
    for (const line of lines) {
      const directory = /^git-subtree-dir: (.*?)\/*$/.exec(line)?.[1];
      if (directory !== undefined) found.push({ commit, directory });
    }
  };
  const input = [...tips, ...without.map((oid) => `^${oid}`)].join('\n');
  const grep = ['--basic-regexp', '--no-notes', '--grep=^git-subtree-dir: ', '--stdin'];
  await readGitRecords(repository, [...args, ...grep], '\0', take, `${input}\n`);
  return found;
}

/**
 * The tree ids of directories in commits. Each commit costs one line of `git cat-file --batch-check` for
 * each folder that the directories stand in, each different folder is read once.
 *
 * @param directories as `modules/Orders`
 * @returns by commit, a row of tree ids in the order of the directories; commits share rows
 */
export async function readDirectoryTrees(
  repository: GitRepository,
  commits: readonly string[],
  directories: readonly string[],
): Promise<(readonly (string | undefined)[])[]> {
  const folders = [...new Set(directories.map(folderOf))];
  const columns = await Promise.all(
    folders.map((folder) => folderTrees(repository, commits, folder)),
  );
  const inFolder = folders.map((folder) =>
    directories.flatMap((directory, place) =>
      folderOf(directory) === folder ? [[nameOf(directory), place] as const] : [],
    ),
  );
  const found = await Promise.all(
    columns.map((column, index) => readFolders(repository, column, new Map(inFolder[index]))),
  );
  const rows = new Map<string, readonly (string | undefined)[]>();
  return commits.map((_, commit) => {
    const key = columns.map((column) => column[commit] ?? '').join(' ');
    const known = rows.get(key);
    if (known !== undefined) return known;
    const row = new Array<string | undefined>(directories.length).fill(undefined);
    for (const [index, column] of columns.entries()) {
      for (const { place, tree } of found[index]?.get(column[commit] ?? '') ?? [])
        row[place] = tree;
    }
    rows.set(key, row);
    return row;
  });
}

function folderOf(directory: string): string {
  return directory.slice(0, Math.max(0, directory.lastIndexOf('/')));
}

/** As git has it: bytes, a character each. */
function nameOf(directory: string): string {
  const name = directory.slice(directory.lastIndexOf('/') + 1);
  return Buffer.from(name).toString('latin1');
}

/** The folder's tree id in each commit, or undefined. */
async function folderTrees(
  repository: GitRepository,
  commits: readonly string[],
  folder: string,
): Promise<(string | undefined)[]> {
  const trees: (string | undefined)[] = [];
  const args = ['cat-file', '--batch-check=%(objecttype) %(objectname)', '--buffer'];
  const path = folder === '' ? '^{tree}' : `:${folder}`;
  const take = (line: Buffer): void => {
    const isTree = line.toString('latin1', 0, 5) === 'tree ';
    trees.push(isTree ? line.toString('latin1', 5) : undefined);
  };
  const input = commits.map((oid) => `${oid}${path}\n`).join('');
  await readGitRecords(repository, args, '\n', take, input);
  return trees;
}

/** Of each folder's tree, the subdirectories that are asked for. */
async function readFolders(
  repository: GitRepository,
  trees: readonly (string | undefined)[],
  places: ReadonlyMap<string, number>,
): Promise<Map<string, Places>> {
  const found = new Map<string, Places>();
  const wanted = [...new Set(trees)].filter((tree) => tree !== undefined);
  const objects = new ObjectBatch(repository, { buffered: true });
  let before: ParsedFolder = { content: Buffer.alloc(0), entries: [] };
  const reads = wanted.map(async (tree) => {
    const { content } = await objects.read(tree);
    before = parseFolder(content, tree.length / 2, places, before);
    found.set(
      tree,
      before.entries.flatMap(({ found: one }) => one ?? []),
    );
  });
  await Promise.all([...reads, objects.close()]);
  return found;
}

interface Place {
  readonly place: number;
  readonly tree: string;
}

type Places = readonly Place[];

interface ParsedFolder {
  readonly content: Buffer;
  readonly entries: readonly { start: number; end: number; found: Place | undefined }[];
}

/**
 * A tree's content is `<mode> <name>\0<id>` again and again; a directory's mode is 40000. Entries that
 * are as in the folder read before, which all but one mostly are, are not decoded again.
 */
function parseFolder(
  content: Buffer,
  idLength: number,
  places: ReadonlyMap<string, number>,
  before: ParsedFolder,
): ParsedFolder {
  const entries: { start: number; end: number; found: Place | undefined }[] = [];
  for (let at = 0; at < content.length; ) {
    const same = before.entries[entries.length];
    if (
      same?.start === at &&
      same.end <= content.length &&
      content.compare(before.content, at, same.end, at, same.end) === 0
    ) {
      entries.push(same);
      at = same.end;
      continue;
    }
    const space = content.indexOf(0x20, at);
    const stop = content.indexOf(0, space);
    if (space === -1 || stop === -1) break;
    const end = stop + 1 + idLength;
    // 4 begins the mode of a directory alone; some old tools wrote a zero before it.
    const isDirectory = content[at] === 0x34 || content[at] === 0x30;
    const place = isDirectory ? places.get(content.toString('latin1', space + 1, stop)) : undefined;
    const found =
      place === undefined ? undefined : { place, tree: content.toString('hex', stop + 1, end) };
    entries.push({ start: at, end, found });
    at = end;
  }
  return { content, entries };
}
