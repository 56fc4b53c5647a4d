import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Relation,
  type ReplicaStatus,
  waitVerdict,
} from '../../src/reconcile/wait-verdict.ts';

const relations: Readonly<Record<string, Relation>> = {
  old: 'before',
  wanted: 'contains',
  later: 'contains',
  reverted: 'undone',
};
const relationOf = (commit: string): Relation => relations[commit] ?? 'before';

function replica(change: Partial<ReplicaStatus>): ReplicaStatus {
  return {
    replica: 'edge-0',
    state: 'converged',
    commit: 'wanted',
    converged_commit: 'wanted',
    last_error: null,
    ...change,
  };
}

describe('waiting for a commit', () => {
  it('is over when every replica has converged to it or to a descendant that contains it', () => {
    const replicas = [replica({}), replica({ commit: 'later', converged_commit: 'later' })];
    assert.deepEqual(waitVerdict(replicas, relationOf), { kind: 'converged' });
  });

  it('goes on while one replica is behind, and names it', () => {
    const behind = replica({ replica: 'edge-1', state: 'converging', converged_commit: 'old' });
    const verdict = waitVerdict([replica({}), behind], relationOf);
    assert.deepEqual(verdict, { kind: 'pending', reason: 'edge-1 is converging at old' });
  });

  it('goes on while nobody has reported', () => {
    assert.equal(waitVerdict([], relationOf).kind, 'pending');
    const starting = replica({ state: 'starting', commit: null, converged_commit: null });
    assert.equal(waitVerdict([starting], relationOf).kind, 'pending');
  });

  it('fails at once when a replica refused the commit, with the reason', () => {
    const refused = replica({
      state: 'refused',
      converged_commit: 'old',
      last_error: { code: 'incompatible-lock', message: 'orders cannot run', at: '' },
    });
    assert.deepEqual(waitVerdict([replica({}), refused], relationOf), {
      kind: 'failed',
      code: 'refused',
      reason: 'edge-0 refused wanted: orders cannot run',
    });
  });

  it('goes on when what was refused is an older commit', () => {
    const refused = replica({ state: 'refused', commit: 'old', converged_commit: 'old' });
    assert.equal(waitVerdict([refused], relationOf).kind, 'pending');
  });

  it('fails at once when the change was undone, even after it had converged', () => {
    const undone = replica({ commit: 'reverted', converged_commit: 'wanted' });
    const verdict = waitVerdict([undone], relationOf);
    assert.equal(verdict.kind, 'failed');
    assert.equal(verdict.kind === 'failed' && verdict.code, 'undone');
  });
});
