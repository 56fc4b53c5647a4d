import { type GitRepository, runGit } from './git-command.ts';

/** A deploy branch as this repository knows it. */
export interface DeployRef {
  /** The branch's own name, `main`. */
  readonly branch: string;
  /** Full name of the ref that was read, `refs/remotes/origin/main` or `refs/heads/main`. */
  readonly ref: string;
  /** The commit it points to. */
  readonly oid: string;
  /** Whether it tells what a remote has: else the local branch's committed history stands in. */
  readonly isRemote: boolean;
}

/**
 * The remote-tracking ref of each deploy branch, or its local branch where there is none; a branch
 * that has neither is left out. Of several remotes the branch's upstream counts, then `origin`.
 *
 * @param branches names as in the ring files
 */
export async function findDeployRefs(
  repository: GitRepository,
  branches: Iterable<string>,
): Promise<DeployRef[]> {
  const names = [...new Set(branches)].sort();
  const patterns = names.flatMap((name) => [`refs/heads/${name}`, `refs/remotes/*/${name}`]);
  if (patterns.length === 0) return [];
  const listed = await runGit(repository.topLevel, [
    'for-each-ref',
    '--format=%(refname) %(objectname) %(upstream)',
    ...patterns,
  ]);
  const refs = listed.split('\n').map((line) => line.split(' '));
  return names.flatMap((branch) => {
    const local = refs.find(([ref]) => ref === `refs/heads/${branch}`);
    const remotes = refs.filter(
      ([ref]) => ref?.startsWith('refs/remotes/') && ref.endsWith(`/${branch}`),
    );
    const remote =
      remotes.find(([ref]) => ref === local?.[2]) ??
      remotes.find(([ref]) => ref === `refs/remotes/origin/${branch}`) ??
      remotes[0];
    const [ref = '', oid = ''] = remote ?? local ?? [];
    return ref === '' ? [] : [{ branch, ref, oid, isRemote: remote !== undefined }];
  });
}
