import { type RinglockError, refused } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { readGitRecords } from '../git/git-records.ts';
import { readDirectoryTrees } from './read-history.ts';

/** What the whole repository's history has, by which a push is proven. */
export interface Mainline {
  readonly commits: ReadonlySet<string>;
  /** By directory: every tree that ever stood there. */
  readonly trees: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Reads it anew from git, without the plan and the cache that made the splits. */
export async function readMainline(
  repository: GitRepository,
  tip: string,
  directories: readonly string[],
): Promise<Mainline> {
  const commits: string[] = [];
  const take = (line: Buffer): void => {
    commits.push(line.toString('latin1'));
  };
  await readGitRecords(repository, ['rev-list', tip], '\n', take);
  const trees = new Map(directories.map((directory) => [directory, new Set<string>()]));
  for (const row of new Set(await readDirectoryTrees(repository, commits, directories))) {
    for (const [place, tree] of row.entries()) {
      if (tree !== undefined) trees.get(directories[place] ?? '')?.add(tree);
    }
  }
  return { commits: new Set(commits), trees };
}

/**
 * Proves that what a push would bring is the module's own: of all commits that it makes reachable none is
 * one of the repository's, and each one's files stood in the module's directory, all of them, alone.
 *
 * @returns the ids of the commits
 * @throws RinglockError `foreign-commit`, `foreign-files`
 */
export async function provePush(
  repository: GitRepository,
  { commits, trees }: Mainline,
  directory: string,
  commit: string,
): Promise<ReadonlySet<string>> {
  const allowed = trees.get(directory);
  const pushed = new Set<string>();
  const check = (record: Buffer): void => {
    const [oid = '', tree = ''] = record.toString('latin1').split(' ');
    if (commits.has(oid))
      throw foreign('foreign-commit', directory, oid, 'is one of this repository');
    if (allowed?.has(tree) !== true) {
      throw foreign('foreign-files', directory, oid, `has files that were never ${directory}`);
    }
    pushed.add(oid);
  };
  const args = ['log', '-z', '--no-show-signature', '--no-notes', '--format=%H %T', commit];
  await readGitRecords(repository, args, '\0', check);
  return pushed;
}

function foreign(code: string, directory: string, oid: string, what: string): RinglockError {
  return refused(code, `nothing of ${directory} is pushed: commit ${oid} of its split ${what}`, {
    hint: 'Delete ringlock/split-cache.json below the git directory and try again; if it stays, please report it.',
    details: { directory, commit: oid },
  });
}
