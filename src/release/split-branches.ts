import { badInput, refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import type { Split } from './split-history.ts';

interface NamedSplit extends Split {
  readonly name: string;
}

/**
 * Points a branch at each split, all or none.
 *
 * @param pattern a branch's name in which `{alias}`, `{prefix}` or `{name}` stands for the split's
 * @throws RinglockError `invalid-branch`, `branch-diverged`, `branch-checked-out`
 */
export async function writeSplitBranches<T extends NamedSplit>(
  repository: GitRepository,
  splits: readonly T[],
  pattern: string,
): Promise<(T & { readonly branch: string | undefined })[]> {
  const named = splits.map((split) => ({
    ...split,
    branch: split.commit === undefined ? undefined : pattern.replace(placeholder, split.name),
  }));
  const branches = named.flatMap(({ branch }) => branch ?? []);
  if (new Set(branches).size < branches.length) {
    throw badInput(
      'invalid-branch',
      `--branch ${pattern} is one name for ${branches.length} splits, expected {alias} in it`,
    );
  }
  const taken = await checkedOut(repository);
  const lines: string[] = [];
  for (const { branch, commit } of named) {
    if (branch === undefined || commit === undefined) continue;
    const ref = `refs/heads/${branch}`;
    const former = await checkBranch(repository, ref, commit);
    if (taken.has(ref) && former !== commit) throw isCheckedOut(branch);
    lines.push(`update ${ref} ${commit} ${former ?? '0'.repeat(commit.length)}\n`);
  }
  await runGit(repository.topLevel, ['update-ref', '-m', 'ringlock split', '--stdin'], {
    input: lines.join(''),
  });
  return named;
}

const placeholder = /\{(alias|prefix|name)\}/g;

/** @returns where the branch points now, or undefined for a new one */
async function checkBranch(
  { topLevel }: GitRepository,
  ref: string,
  commit: string,
): Promise<string | undefined> {
  if ((await tryGit(topLevel, ['check-ref-format', ref])).status !== 0) {
    throw badInput('invalid-branch', `${ref.slice('refs/heads/'.length)} is no name for a branch`);
  }
  const { status, stdout } = await tryGit(topLevel, ['rev-parse', '--verify', '--quiet', ref]);
  if (status !== 0) return undefined;
  const former = stdout.toString().trim();
  const isBehind = await tryGit(topLevel, ['merge-base', '--is-ancestor', former, commit]);
  if (isBehind.status === 0) return former;
  throw refused(
    'branch-diverged',
    `${ref} is at ${former}, which the split ${commit} does not continue`,
    { hint: `Delete it, if it is not needed any more: git update-ref -d ${ref}` },
  );
}

async function checkedOut({ topLevel }: GitRepository): Promise<ReadonlySet<string>> {
  const listed = await runGit(topLevel, ['worktree', 'list', '--porcelain']);
  return new Set([...listed.matchAll(/^branch (.+)$/gm)].map((match) => match[1] ?? ''));
}

function isCheckedOut(branch: string): Error {
  return refused(
    'branch-checked-out',
    `${branch} is checked out, and would change below its files`,
    {
      hint: 'Give another --branch.',
    },
  );
}
