import { setTimeout as sleep } from 'node:timers/promises';
import { badInput, refused } from '../errors.ts';
import { resolveCommit } from '../git/baseline.ts';
import type { GitRepository } from '../git/git-command.ts';
import {
  containsLockChange,
  ensureCommit,
  isAncestorHere,
  readLockChange,
} from '../git/lock-change.ts';
import {
  type Relation,
  type ReplicaStatus,
  type WaitVerdict,
  waitVerdict,
} from './wait-verdict.ts';

export interface WaitOptions {
  readonly repository: GitRepository;
  readonly ring: string;
  /** Any revision of the repository. */
  readonly commit: string;
  readonly timeoutMs: number;
  readonly pollMs: number;
  /** What every replica of the ring last said. */
  readonly readReplicas: () => Promise<readonly ReplicaStatus[]>;
  /** Told whenever what is waited for changes. */
  readonly onPending: (reason: string) => void;
}

/**
 * Waits until a ring has converged to a commit, or to a descendant that still contains its change.
 *
 * @returns the full id of the commit
 * @throws RinglockError `unknown-revision`; `wait-refused`, `wait-undone` at once; `wait-timeout`, saying who is behind
 */
export async function waitForCommit(options: WaitOptions): Promise<string> {
  const commit = await requireCommit(options.repository, options.commit);
  const relationOf = await relationReader(options, commit);
  const until = Date.now() + options.timeoutMs;
  let said: string | undefined;
  for (;;) {
    const verdict = await readVerdict(await options.readReplicas(), relationOf);
    if (verdict.kind === 'converged') return commit;
    if (verdict.kind === 'failed') {
      throw refused(
        `wait-${verdict.code}`,
        `${commit.slice(0, 12)} will not converge in ${options.ring}: ${verdict.reason}`,
      );
    }
    if (verdict.reason !== said) options.onPending(verdict.reason);
    said = verdict.reason;
    if (Date.now() >= until) {
      throw refused(
        'wait-timeout',
        `${commit.slice(0, 12)} has not converged in ${options.ring} in time: ${verdict.reason}`,
        { hint: 'Look at ringlock status, or give it longer with --timeout.' },
      );
    }
    await sleep(Math.min(options.pollMs, Math.max(1, until - Date.now())));
  }
}

async function requireCommit(repository: GitRepository, revision: string): Promise<string> {
  const commit = await resolveCommit(repository, revision);
  if (commit !== undefined) return commit;
  throw badInput('unknown-revision', `${revision} is not a commit of ${repository.topLevel}`, {
    hint: 'Fetch it, or name another branch, tag or commit.',
  });
}

async function readVerdict(
  replicas: readonly ReplicaStatus[],
  relationOf: (commit: string) => Promise<Relation>,
): Promise<WaitVerdict> {
  const relations = new Map<string, Relation>();
  for (const { commit, converged_commit } of replicas) {
    for (const seen of [commit, converged_commit]) {
      if (seen !== null) relations.set(seen, await relationOf(seen));
    }
  }
  return waitVerdict(replicas, (seen) => relations.get(seen) ?? 'before');
}

/** Relations never change, but for a commit that is not here yet. */
async function relationReader(
  { repository, ring }: WaitOptions,
  wanted: string,
): Promise<(commit: string) => Promise<Relation>> {
  const change = await readLockChange(repository, wanted, ring);
  const known = new Map<string, Relation>([[wanted, 'contains']]);
  return async (commit) => {
    const before = known.get(commit);
    if (before !== undefined) return before;
    await ensureCommit(repository, commit);
    if (!(await isAncestorHere(repository, wanted, commit))) return 'before';
    const contains = await containsLockChange(repository, commit, ring, change);
    const relation = contains ? 'contains' : 'undone';
    known.set(commit, relation);
    return relation;
  };
}
