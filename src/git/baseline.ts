import type { DeployRef } from './deploy-branch.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';

/**
 * The commit that changed modules are compared with (DESIGN section 4): the merge base of the tip
 * and the deploy branch's remote-tracking ref, also when the tip is on that branch, so that one bump
 * is enough for all unpushed commits; the tip itself where there is no remote. Undefined before the
 * first commit.
 *
 * @param tip the commit that is built upon: HEAD, or its parent when HEAD is being amended
 */
export async function findBaseline(
  repository: GitRepository,
  deployRefs: readonly DeployRef[],
  tip: string | undefined,
): Promise<string | undefined> {
  if (tip === undefined) return undefined;
  const bases = new Set<string>();
  for (const { oid, isRemote } of deployRefs) {
    if (!isRemote) continue;
    const { status, stdout } = await tryGit(repository.topLevel, ['merge-base', tip, oid]);
    // 1: unrelated histories.
    if (status === 0) bases.add(stdout.toString().trim());
  }
  return (await nearest(repository, [...bases], tip)) ?? tip;
}

/** The base that the fewest commits lie above: the deploy branch that the work started from. */
async function nearest(
  repository: GitRepository,
  bases: readonly string[],
  tip: string,
): Promise<string | undefined> {
  if (bases.length < 2) return bases[0];
  const distances = await Promise.all(
    bases.map((base) => runGit(repository.topLevel, ['rev-list', '--count', `${base}..${tip}`])),
  );
  const best = Math.min(...distances.map(Number));
  return bases[distances.findIndex((distance) => Number(distance) === best)];
}

/** The commit a revision names, or undefined where there is none (an unborn branch). */
export async function resolveCommit(
  repository: GitRepository,
  revision: string,
): Promise<string | undefined> {
  const { status, stdout } = await tryGit(repository.topLevel, [
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${revision}^{commit}`,
  ]);
  return status === 0 ? stdout.toString().trim() : undefined;
}
