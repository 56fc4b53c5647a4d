import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeLockChanges } from '../../repo/lock-writing.ts';
import { lockFile } from '../../repo/names.ts';
import { findBaseline, resolveCommit } from '../baseline.ts';
import type { GitRepository } from '../git-command.ts';
import { checkPinnedLocks } from '../pinned-check.ts';
import type { PlatformSnapshot } from '../platform-snapshot.ts';
import { indexTree } from '../tree-snapshot.ts';
import { checkVersions } from '../version-check.ts';
import type { RingLock } from '../write-locks.ts';
import { describeAll, type HookOutcome, nothingToSay } from './outcome.ts';
import { deployRefsOf, parentsOf, platformAt, trackingLocks } from './platform-at.ts';
import { stageLock } from './staging.ts';

/**
 * pre-commit and pre-merge-commit: refuses what breaks the rules in the index that is committed,
 * else stages the tracking rings' locks for it.
 *
 * @param environment has git's variables and the shim's RINGLOCK_GIT_ARGUMENTS
 */
export async function preCommit(
  repository: GitRepository,
  hook: 'pre-commit' | 'pre-merge-commit',
  environment: NodeJS.ProcessEnv,
): Promise<HookOutcome> {
  const [tree, head, merged] = await Promise.all([
    indexTree(repository),
    resolveCommit(repository, 'HEAD'),
    mergeHeads(repository, hook, environment),
  ]);
  const snapshot = await platformAt(repository, tree);
  if (snapshot === undefined) return nothingToSay;
  const amended = head !== undefined && merged.length === 0 && isAmend(environment);
  const parents = amended ? await parentsOf(repository, head) : [];
  const tip = amended ? parents[0] : head;
  const refs = await deployRefsOf(
    repository,
    snapshot,
    amended ? { commit: head, parent: tip } : undefined,
  );
  const base = await findBaseline(repository, refs, tip);
  const baselines =
    head !== undefined && merged.length > 0
      ? [head, ...merged]
      : parents.length > 1
        ? parents
        : base === undefined
          ? []
          : [base];
  const { violations, notices, released } = await checkVersions(
    repository,
    snapshot,
    baselines,
    refs,
  );
  const pinned = await checkPinnedLocks(repository, snapshot, head, released);
  const refusals = [...describeAll(violations), ...pinned];
  if (refusals.length > 0) return { allowed: false, messages: [...refusals, ...notices] };
  const staged = await stageLocks(repository, snapshot);
  return afterStaging(hook, [...notices, ...staged], staged.length > 0);
}

/**
 * git makes the tree of a clean merge before it runs pre-merge-commit, so a lock staged there would
 * miss the commit: it is stopped, and `git commit` concludes it with the lock that now is staged.
 */
function afterStaging(hook: string, messages: string[], staged: boolean): HookOutcome {
  if (hook === 'pre-commit' || !staged) return { allowed: true, messages };
  return {
    allowed: false,
    messages: [...messages, 'The merge is ready with this lock: conclude it with git commit.'],
  };
}

/** The commits that are being merged into HEAD; none for an ordinary commit. */
async function mergeHeads(
  repository: GitRepository,
  hook: string,
  environment: NodeJS.ProcessEnv,
): Promise<string[]> {
  // `git merge` writes MERGE_HEAD only after this hook, and names its heads in GITHEAD_<id>.
  if (hook === 'pre-merge-commit') {
    const names = Object.keys(environment).filter((name) => /^GITHEAD_[0-9a-f]{40,64}$/.test(name));
    if (names.length > 0) return names.map((name) => name.slice('GITHEAD_'.length));
  }
  try {
    const text = await readFile(join(repository.gitDir, 'MERGE_HEAD'), 'utf8');
    return text.split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/** A hint only: git has no word for it. What follows -m is a message, whatever it says. */
function isAmend(environment: NodeJS.ProcessEnv): boolean {
  const given = environment['RINGLOCK_GIT_ARGUMENTS']?.split('\n') ?? [];
  return given.some(
    (argument, at) =>
      argument === '--amend' && !/^(-[a-zA-Z]*m|--message)$/.test(given[at - 1] ?? ''),
  );
}

async function stageLocks(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
): Promise<string[]> {
  const messages: string[] = [];
  for (const lock of await trackingLocks(repository, snapshot)) {
    // A pinned ring's lock moves only by hand.
    if (!lock.ring.tracking || snapshot.lockTexts.get(lock.ring.name) === lock.text) continue;
    const workTree = await stageLock(repository, lock.file, lock.text);
    messages.push(...describeStaged(lock));
    if (workTree === 'edited') {
      messages.push(`  (your unstaged edit of ${lock.file} stays in the work tree)`);
    }
  }
  return messages;
}

function describeStaged({ ring, before, lock }: RingLock): string[] {
  const changes = describeLockChanges(before, lock);
  const what = changes.length > 0 ? changes.join(', ') : 'the form and the locators';
  return [`${lockFile(ring.name)} follows what is staged: ${what}`];
}
