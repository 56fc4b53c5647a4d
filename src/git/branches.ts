import { badInput, environmentFailed } from '../errors.ts';

/** The error for a branch that is not there: which there are, or that a tag or commit was given. */
export function branchNotFound(
  branch: string,
  display: string,
  refNames: readonly string[],
): Error {
  const branches = refNames
    .filter((name) => name.startsWith(branchPrefix))
    .map((name) => name.slice(branchPrefix.length))
    .sort();
  if (refNames.includes(`refs/tags/${branch}`) || /^[0-9a-f]{40}$/.test(branch)) {
    return badInput(
      'branch-not-found',
      `${branch} is ${refNames.includes(`refs/tags/${branch}`) ? 'a tag' : 'a commit id'} of ${display}, expected a branch`,
      {
        hint: `A ring follows a branch${listed(branches)}.`,
        details: { branch, branches: branches.slice(0, mostListed) },
      },
    );
  }
  if (branches.length === 0) {
    return environmentFailed('remote-empty', `${display} has no branches yet`, {
      hint: `Push ${branch} first.`,
    });
  }
  return badInput('branch-not-found', `${display} has no branch ${branch}${listed(branches)}`, {
    hint: 'Push it, or follow another one with --branch.',
    details: { branch, branches: branches.slice(0, mostListed) },
  });
}

export const branchPrefix = 'refs/heads/';

const mostListed = 20;

function listed(branches: readonly string[]): string {
  if (branches.length === 0) return '';
  const more = branches.length > mostListed ? `, and ${branches.length - mostListed} more` : '';
  return `; there are ${branches.slice(0, mostListed).join(', ')}${more}`;
}
