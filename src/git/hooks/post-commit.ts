import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findBaseline, resolveCommit } from '../baseline.ts';
import type { GitRepository } from '../git-command.ts';
import { commitTree } from '../tree-snapshot.ts';
import { checkVersions } from '../version-check.ts';
import { describeAll, type HookOutcome, nothingToSay } from './outcome.ts';
import { deployRefsOf, parentsOf, platformAt, trackingLocks } from './platform-at.ts';
import { finishPartialCommit } from './staging.ts';

/**
 * post-commit: ends what pre-commit began in a partial commit, and warns of a commit that no
 * pre-commit saw (revert, cherry-pick, --no-verify).
 */
export async function postCommit(repository: GitRepository): Promise<HookOutcome> {
  await finishPartialCommit(repository);
  // A rebase commits again and again; post-rewrite speaks once, of its end.
  if (isRebasing(repository)) return nothingToSay;
  return warnOfHead(repository);
}

/** post-rewrite: the same warning after a rebase; after --amend, post-commit has given it. */
export async function postRewrite(
  repository: GitRepository,
  command: string | undefined,
): Promise<HookOutcome> {
  return command === 'rebase' ? warnOfHead(repository) : nothingToSay;
}

function isRebasing({ gitDir }: GitRepository): boolean {
  return ['rebase-merge', 'rebase-apply'].some((name) => existsSync(join(gitDir, name)));
}

async function warnOfHead(repository: GitRepository): Promise<HookOutcome> {
  const head = await resolveCommit(repository, 'HEAD');
  if (head === undefined) return nothingToSay;
  const snapshot = await platformAt(repository, await commitTree(repository, head));
  if (snapshot === undefined) return nothingToSay;
  const parents = await parentsOf(repository, head);
  const refs = await deployRefsOf(repository, snapshot, { commit: head, parent: parents[0] });
  const base = parents.length > 1 ? undefined : await findBaseline(repository, refs, parents[0]);
  const baselines = base === undefined ? parents : [base];
  const { violations } = await checkVersions(repository, snapshot, baselines, refs);
  const stale = (await trackingLocks(repository, snapshot)).filter(
    ({ ring, differences }) => ring.tracking && differences.length > 0,
  );
  const messages = [
    ...describeAll(violations),
    ...stale.map(
      ({ file, differences }) =>
        `${file} of this commit is not what its modules are: ${differences.map(({ message }) => message).join('; ')}\n  → ringlock lock && git commit --amend --no-edit ${file}`,
    ),
  ];
  if (messages.length === 0) return nothingToSay;
  const short = head.slice(0, 12);
  return {
    allowed: true,
    messages: [`warning: ${short} is committed, but pre-push will refuse it:`, ...messages],
  };
}
