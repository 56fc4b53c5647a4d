import { findBaseline, resolveCommit } from '../baseline.ts';
import type { DeployRef } from '../deploy-branch.ts';
import type { GitRepository } from '../git-command.ts';
import { checkPinnedLocks, findUnreachablePins } from '../pinned-check.ts';
import { taggedCommits } from '../tagged-commits.ts';
import { commitTree } from '../tree-snapshot.ts';
import { checkVersions } from '../version-check.ts';
import { describeAll, type HookOutcome } from './outcome.ts';
import { deployRefsOf, platformAt, trackingLocks } from './platform-at.ts';

/** One line of what git tells pre-push. */
interface PushedRef {
  readonly localOid: string;
  readonly remoteRef: string;
  readonly remoteOid: string;
}

/**
 * pre-push: checks the tip of every pushed branch again, since revert, cherry-pick, clean rebases
 * and --no-verify ran no pre-commit.
 *
 * @param input git's lines: local ref, local id, remote ref, remote id
 */
export async function prePush(repository: GitRepository, input: string): Promise<HookOutcome> {
  const messages: string[] = [];
  for (const pushed of pushedBranches(input)) {
    const problems = await checkPushed(repository, pushed);
    if (problems.length > 0) {
      messages.push(`${pushed.remoteRef} is not pushed at ${pushed.localOid.slice(0, 12)}:`);
      messages.push(...problems);
    }
  }
  return { allowed: messages.length === 0, messages };
}

function pushedBranches(input: string): PushedRef[] {
  return input.split('\n').flatMap((line) => {
    const [, localOid = '', remoteRef = '', remoteOid = ''] = line.split(' ');
    const isBranch = remoteRef.startsWith('refs/heads/');
    return isBranch && !/^0*$/.test(localOid) ? [{ localOid, remoteRef, remoteOid }] : [];
  });
}

async function checkPushed(
  repository: GitRepository,
  { localOid, remoteRef, remoteOid }: PushedRef,
): Promise<string[]> {
  const snapshot = await platformAt(repository, await commitTree(repository, localOid));
  if (snapshot === undefined) return [];
  const branch = remoteRef.slice('refs/heads/'.length);
  const known = await deployRefsOf(repository, snapshot);
  const isDeploy = known.some((ref) => ref.branch === branch);
  const remoteTip = await resolveCommit(repository, remoteOid);
  const refs = known.flatMap((ref) => asRemoteHasIt(ref, branch, remoteTip));
  // A deploy branch is compared with its own tip over there; another one with where it began.
  const base =
    isDeploy && remoteTip !== undefined
      ? remoteTip
      : await findBaseline(repository, refs, localOid).then((found) =>
          found === localOid ? undefined : found,
        );
  const { violations, released } = await checkVersions(
    repository,
    snapshot,
    base === undefined ? [] : [base],
    refs,
  );
  const stale = (await trackingLocks(repository, snapshot)).filter(
    ({ ring, differences }) => ring.tracking && differences.length > 0,
  );
  return [
    ...describeAll(violations),
    ...stale.map(
      ({ file, differences }) =>
        `${file} is not what the modules are: ${differences.map(({ message }) => message).join('; ')}\n  → ringlock lock && git commit ${file}`,
    ),
    ...(await checkPinnedLocks(repository, snapshot, base, released)),
    ...(await findUnreachablePins(repository, snapshot, base, [
      ...refs.map(({ oid }) => oid),
      ...(isDeploy ? [localOid] : []),
      ...(await taggedCommits(repository)),
    ])),
  ];
}

/** A local branch releases nothing to the remote that it is only now being pushed to. */
function asRemoteHasIt(ref: DeployRef, branch: string, remoteTip: string | undefined): DeployRef[] {
  if (ref.branch === branch && remoteTip !== undefined) {
    // A name of its own for the cache, since the tracking ref may lag behind.
    return [{ ...ref, ref: `pushed/${branch}`, oid: remoteTip, isRemote: true }];
  }
  return ref.isRemote ? [ref] : [];
}
