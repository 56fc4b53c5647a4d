import { RinglockError } from '../../errors.ts';
import { resolveCommit } from '../baseline.ts';
import { type DeployRef, findDeployRefs } from '../deploy-branch.ts';
import type { GitRepository } from '../git-command.ts';
import { type PlatformSnapshot, readPlatform } from '../platform-snapshot.ts';
import { planLocks, type RingLock } from '../write-locks.ts';

/** The platform of a tree, or undefined for a tree that is none (yet, or any more). */
export async function platformAt(
  repository: GitRepository,
  tree: string,
): Promise<PlatformSnapshot | undefined> {
  try {
    return await readPlatform(repository, tree);
  } catch (error) {
    if (error instanceof RinglockError && error.code === 'no-platform') return undefined;
    throw error;
  }
}

/** The locks of the tracking rings; none where no ring tracks. */
export async function trackingLocks(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
): Promise<RingLock[]> {
  if (![...snapshot.rings.values()].some(({ ring }) => ring.tracking)) return [];
  return planLocks(repository, snapshot);
}

/**
 * The deploy branches of a platform's rings. Where a branch has no remote, and is what is being
 * rewritten, the commit that goes away releases nothing.
 *
 * @param rewritten a commit that is being amended or was just made, with the one before it
 */
export async function deployRefsOf(
  repository: GitRepository,
  { rings }: PlatformSnapshot,
  rewritten?: { readonly commit: string; readonly parent: string | undefined },
): Promise<DeployRef[]> {
  const branches = [...rings.values()].map(({ ring }) => ring.branch);
  const refs = await findDeployRefs(repository, branches);
  if (rewritten === undefined) return refs;
  return refs.flatMap((ref) => {
    if (ref.isRemote || ref.oid !== rewritten.commit) return [ref];
    return rewritten.parent === undefined ? [] : [{ ...ref, oid: rewritten.parent }];
  });
}

/** The parents of a commit, first parent first. */
export async function parentsOf(repository: GitRepository, commit: string): Promise<string[]> {
  const parents: string[] = [];
  for (let at = 1; ; at++) {
    const parent = await resolveCommit(repository, `${commit}^${at}`);
    if (parent === undefined) return parents;
    parents.push(parent);
  }
}
