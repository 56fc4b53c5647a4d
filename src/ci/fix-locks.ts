import { badInput, refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { planLocks, type RingLock } from '../git/write-locks.ts';
import { describeLockChanges } from '../repo/lock-writing.ts';
import type { CiContext } from './ci-context.ts';
import { type CiRange, findCiRange, type RangeRequest } from './ci-range.ts';
import { commitOnto, committerOf } from './commit-onto.ts';
import { fetchCommit, type HistoryRemote, listBranches } from './fetch-history.ts';
import { describeFinding } from './finding.ts';
import { pushCommit } from './push-commit.ts';
import { findVersionProblems } from './version-findings.ts';

/** What was done about stale locks. */
export interface LockFix {
  /** The change with the fix in it. */
  readonly range: CiRange;
  /** Undefined where the locks were right. */
  readonly commit: string | undefined;
  readonly files: readonly string[];
  /** One sentence for each module, after its lock's name. */
  readonly changes: readonly string[];
  /** The branch that was pushed to; undefined where nothing was pushed. */
  readonly pushed: string | undefined;
}

/** How often somebody else may be quicker. */
const pushAttempts = 5;

/**
 * Commits the locks that are not what modules/ says, those with conflict markers too: what a forge's own
 * merge leaves, since it runs no hook and no merge driver. The commit is made on what is checked, and HEAD
 * follows when it stands there.
 *
 * @throws RinglockError `versions-broken` when a new lock would only hide that, `lock-conflict`, and what
 *   findCiRange() throws
 */
export async function fixLocks(
  repository: GitRepository,
  range: CiRange,
  environment: NodeJS.ProcessEnv,
): Promise<LockFix> {
  const made = await commitLocks(repository, range, environment);
  if (made.commit !== undefined) await moveHead(repository, range.head, made.commit);
  return { ...made, pushed: undefined };
}

/**
 * The same on the tip of the remote's branch, and pushes it; begins anew when the branch has moved
 * meanwhile.
 *
 * @throws RinglockError also `no-branch`, `branch-moved`, `push-raced`, `push-refused`
 */
export async function fixAndPushLocks(
  repository: GitRepository,
  context: CiContext,
  request: RangeRequest,
  first: CiRange,
  environment: NodeJS.ProcessEnv,
): Promise<LockFix> {
  const { remote, branch } = first;
  if (remote === undefined || branch === undefined) throw nowhereToPush(remote);
  const follow = async (tip: string | undefined): Promise<CiRange> => {
    // A merge request's pipeline may be about a merge that nobody asked to push, or about a fork.
    if (tip === undefined || first.event !== 'push') throw branchMoved(branch, tip, first);
    await fetchCommit(repository, remote, tip);
    return findCiRange(repository, context, { ...request, head: tip });
  };
  let range = first;
  for (let attempt = 0; attempt < pushAttempts; attempt++) {
    const [there] = await listBranches(repository, remote, [branch]);
    if (there?.oid !== range.head) range = await follow(there?.oid);
    const made = await commitLocks(repository, range, environment);
    if (made.commit === undefined) return { ...made, pushed: undefined };
    if (await pushCommit(repository, remote, made.commit, branch, range.head, environment)) {
      await moveHead(repository, range.head, made.commit);
      return { ...made, pushed: branch };
    }
  }
  throw refused('push-raced', `${branch} moved ${pushAttempts} times while its locks were made`, {
    hint: 'Run it again.',
  });
}

async function commitLocks(
  repository: GitRepository,
  range: CiRange,
  environment: NodeJS.ProcessEnv,
): Promise<Omit<LockFix, 'pushed'>> {
  const locks = (await planLocks(repository, range.snapshot)).filter(
    ({ differences }) => differences.length > 0,
  );
  if (locks.length === 0) return { range, commit: undefined, files: [], changes: [] };
  const { findings } = await findVersionProblems(repository, range);
  const broken = findings.filter(({ severity }) => severity === 'error');
  if (broken.length > 0) {
    throw refused(
      'versions-broken',
      `the locks were not made anew, since versions are wrong:\n${broken.map(describeFinding).join('\n')}`,
      { hint: 'Bump these modules first; the locks then follow.' },
    );
  }
  const changes = locks.flatMap(describeLock);
  const files = new Map(locks.map(({ file, text }) => [file, text]));
  const message = `Bring ${[...files.keys()].join(', ')} in line with modules/\n\n${changes.join('\n')}\n`;
  const identity = await committerOf(repository, environment);
  const commit = await commitOnto(repository, range.head, files, message, identity);
  return { range, commit, files: [...files.keys()], changes };
}

function describeLock({ ring, before, lock, differences }: RingLock): string[] {
  const changes = describeLockChanges(before, lock);
  const said = changes.length > 0 ? changes : differences.map(({ message }) => message);
  return said.map((change) => `${ring.name}: ${change}`);
}

/** HEAD, index and work tree follow where they stand at the commit's parent; edits are never lost. */
async function moveHead(
  { topLevel }: GitRepository,
  parent: string,
  commit: string,
): Promise<void> {
  if ((await runGit(topLevel, ['rev-parse', 'HEAD'])) !== parent) return;
  const { status, stderr } = await tryGit(topLevel, ['merge', '--ff-only', '--quiet', commit]);
  if (status === 0) return;
  throw refused('work-tree-edited', `${commit} is made, but not checked out: ${stderr.trim()}`, {
    hint: `Commit or restore your edits, then: git merge --ff-only ${commit}`,
  });
}

function nowhereToPush(remote: HistoryRemote | undefined): Error {
  if (remote === undefined) {
    return badInput('no-remote', '--push needs a remote', { hint: 'Leave --offline out.' });
  }
  return badInput('no-branch', '--push needs a branch, and a commit alone is checked out', {
    hint: 'Check the branch out, or run it in a pipeline of that branch.',
  });
}

function branchMoved(branch: string, tip: string | undefined, { head }: CiRange): Error {
  return refused(
    'branch-moved',
    `${branch} is ${tip === undefined ? 'not' : `at ${tip.slice(0, 12)}`} there, and ${head.slice(0, 12)} is checked`,
    { hint: 'Only the tip of a branch is fixed: a newer pipeline, or one of the branch, does it.' },
  );
}
