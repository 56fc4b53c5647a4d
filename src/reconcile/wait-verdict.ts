import type { RootStatus } from '../store/status-file.ts';

/** How a commit stands to the one that is waited for. */
export type Relation =
  /** It is that commit, or a descendant in which what that commit changed in the ring's lock stands. */
  | 'contains'
  /** A descendant in which what it changed has been changed again. */
  | 'undone'
  /** Not a descendant: the ring has not come so far, or the commit is on another branch. */
  | 'before';

export type ReplicaStatus = Pick<
  RootStatus,
  'replica' | 'state' | 'commit' | 'converged_commit' | 'last_error'
>;

export type WaitVerdict =
  | { readonly kind: 'converged' }
  | { readonly kind: 'failed'; readonly code: 'refused' | 'undone'; readonly reason: string }
  | { readonly kind: 'pending'; readonly reason: string };

/**
 * Whether the wait for a commit is over: converged once every replica has converged to it or to a
 * descendant that still contains its change; failed at once when a replica refused it or it was
 * undone.
 *
 * @param relationOf of a full commit id to the one that is waited for
 */
export function waitVerdict(
  replicas: readonly ReplicaStatus[],
  relationOf: (commit: string) => Relation,
): WaitVerdict {
  if (replicas.length === 0) return { kind: 'pending', reason: 'no replica has reported yet' };
  for (const { replica, state, commit, last_error } of replicas) {
    if (commit === null) continue;
    const relation = relationOf(commit);
    if (relation === 'undone') {
      const reason = `${replica} sees ${short(commit)}, in which the change was changed again`;
      return { kind: 'failed', code: 'undone', reason };
    }
    if ((state === 'refused' || state === 'held') && relation === 'contains') {
      const reason = `${replica} refused ${short(commit)}: ${last_error?.message ?? 'no reason given'}`;
      return { kind: 'failed', code: 'refused', reason };
    }
  }
  const behind = replicas.filter(
    ({ converged_commit }) =>
      converged_commit === null || relationOf(converged_commit) !== 'contains',
  );
  if (behind.length === 0) return { kind: 'converged' };
  const shown = behind.map(({ replica, state, converged_commit }) => {
    const at = converged_commit === null ? 'nothing yet' : short(converged_commit);
    return `${replica} is ${state} at ${at}`;
  });
  return { kind: 'pending', reason: shown.join(', ') };
}

function short(commit: string): string {
  return commit.slice(0, 12);
}
