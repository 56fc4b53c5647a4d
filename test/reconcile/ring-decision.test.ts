import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decideOperation,
  haveAllReturned,
  haveAllSettled,
  mayTakeTurn,
  type OperationView,
  type ReplicaState,
  type ReplicaView,
} from '../../src/reconcile/ring/ring-decision.ts';

const states: readonly ReplicaState[] = [
  'waiting',
  'turn',
  'healthy',
  'unhealthy',
  'abstained',
  'returned',
];

/** Replicas by their states: `healthy` joined and present, `healthy!` vanished, `turn<` of an operation before, `~` gone. */
function viewOf(replicas: readonly string[], more: Partial<OperationView> = {}): OperationView {
  return {
    state: 'rolling',
    members: replicas.map((_, index) => `r${index}`),
    replicas: replicas.map((text, index) => ({
      replica: `r${index}`,
      state: text.replace(/[!<~]/g, '') as ReplicaState,
      isJoined: !text.includes('<'),
      isPresent: !text.includes('!'),
      isGone: text.includes('~'),
    })),
    ageMs: 0,
    isReturn: false,
    policy: { rollout: { first: 1, maxUnavailable: '25%' }, revertOn: 'quorum' },
    ...more,
  };
}

const decided = (replicas: readonly string[], more?: Partial<OperationView>) =>
  decideOperation(viewOf(replicas, more)).state;

describe('what a ring makes of its replicas', () => {
  it('is committed once a majority of those alive is healthy', () => {
    assert.equal(decided(['healthy', 'healthy', 'waiting', 'waiting']), 'rolling');
    assert.equal(decided(['healthy', 'healthy', 'healthy', 'waiting']), 'committed');
    assert.equal(decided(['healthy']), 'committed');
  });

  it('turns back when the first wave is sick', () => {
    assert.equal(decided(['unhealthy', 'waiting', 'waiting', 'waiting']), 'reverting');
  });

  it('turns back when a majority has become impossible, and not before', () => {
    assert.equal(decided(['healthy', 'unhealthy', 'turn', 'waiting', 'waiting']), 'rolling');
    assert.equal(
      decided(['healthy', 'unhealthy', 'unhealthy', 'turn', 'waiting'], {
        policy: { rollout: { first: 1, maxUnavailable: 4 }, revertOn: 'quorum' },
      }),
      'rolling',
    );
    assert.equal(decided(['healthy', 'unhealthy', 'unhealthy', 'unhealthy', 'turn']), 'reverting');
  });

  it('does not count those that vanished, nor those that never had a verdict', () => {
    assert.equal(decided(['healthy', 'healthy', 'turn!', 'waiting!', 'waiting!']), 'committed');
    assert.equal(decided(['abstained', 'abstained']), 'committed');
    assert.equal(decided(['abstained', 'waiting']), 'rolling');
    assert.equal(decided(['healthy', 'abstained', 'unhealthy!', 'waiting']), 'rolling');
  });

  it('waits for members that have not joined, for a while, and for none that is gone', () => {
    assert.equal(decided(['healthy', 'waiting<']), 'rolling');
    assert.equal(decided(['healthy', 'waiting<'], { ageMs: 61_000 }), 'committed');
    assert.equal(decided(['healthy', 'waiting<~']), 'committed');
  });

  it('obeys policy.revertOn', () => {
    const rollout = { first: 1, maxUnavailable: '25%' };
    const any = { policy: { rollout, revertOn: 'any' as const } };
    const never = { policy: { rollout, revertOn: 'never' as const } };
    assert.equal(
      decided(['healthy', 'healthy', 'healthy', 'healthy', 'unhealthy'], any),
      'reverting',
    );
    assert.equal(decided(['unhealthy', 'unhealthy'], never), 'committed');
  });
});

describe('whose turn it is', () => {
  const may = (replicas: readonly string[], replica: string, more?: Partial<OperationView>) =>
    mayTakeTurn(viewOf(replicas, more), replica);

  it('is one replica first, then a quarter of them', () => {
    const eight = (first: string, second = 'waiting') => [
      first,
      second,
      ...Array.from({ length: 6 }, () => 'waiting'),
    ];
    assert.equal(may(eight('waiting'), 'r0'), true);
    assert.equal(may(eight('turn'), 'r1'), false);
    assert.equal(may(eight('healthy'), 'r1'), true);
    assert.equal(may(eight('healthy', 'turn'), 'r2'), true);
    assert.equal(may(['healthy', 'turn', 'turn', ...eight('waiting').slice(3)], 'r3'), false);
  });

  it('goes on one at a time past a replica that stays sick', () => {
    assert.equal(may(['healthy', 'unhealthy', 'waiting', 'waiting'], 'r2'), true);
    assert.equal(may(['healthy', 'unhealthy', 'turn', 'waiting'], 'r3'), false);
  });

  it('passes on from a replica that died in its turn', () => {
    assert.equal(may(['turn!', 'waiting', 'waiting', 'waiting'], 'r1'), true);
  });

  it('stays with one that had not been judged when the operation was superseded', () => {
    assert.equal(may(['turn', 'waiting', 'waiting', 'waiting'], 'r0'), true);
    assert.equal(may(['turn<', 'waiting', 'waiting', 'waiting'], 'r1'), false);
  });

  it('is everybody’s when the ring goes back', () => {
    assert.equal(may(['turn', 'turn', 'waiting', 'waiting'], 'r3', { isReturn: true }), true);
  });

  it('never lets more be unavailable than the policy says, whatever has happened', () => {
    const replica = fc.record({
      state: fc.constantFrom(...states),
      isJoined: fc.boolean(),
      isPresent: fc.boolean(),
      isGone: fc.constant(false),
    });
    fc.assert(
      fc.property(fc.array(replica, { minLength: 1, maxLength: 12 }), (drawn) => {
        let replicas: ReplicaView[] = drawn.map((view, index) => ({
          ...view,
          replica: `r${index}`,
        }));
        const view = () => ({
          ...viewOf([]),
          members: replicas.map((one) => one.replica),
          replicas,
        });
        const busy = () =>
          replicas.filter(({ state, isPresent }) => state === 'turn' && isPresent).length;
        const before = busy();
        for (const { replica: name, state, isPresent, isJoined } of replicas) {
          if (state !== 'waiting' || !isPresent || !isJoined) continue;
          if (!mayTakeTurn(view(), name)) continue;
          replicas = replicas.map((one) =>
            one.replica === name ? { ...one, state: 'turn' as const } : one,
          );
        }
        assert.ok(busy() <= Math.max(before, 1, Math.floor(replicas.length / 4)));
      }),
    );
  });
});

describe('when the versions before are left', () => {
  it('is when nobody is on them, however they went', () => {
    assert.equal(haveAllReturned(viewOf(['returned', 'waiting', 'healthy<', 'healthy!~'])), true);
    assert.equal(haveAllReturned(viewOf(['returned', 'healthy!'])), false);
    assert.equal(haveAllSettled(viewOf(['healthy', 'abstained', 'unhealthy'])), true);
    assert.equal(haveAllSettled(viewOf(['healthy', 'turn'])), false);
    assert.equal(haveAllSettled(viewOf(['healthy', 'turn!'])), false, 'its application may go on');
    assert.equal(haveAllSettled(viewOf(['healthy', 'turn!~'])), true);
    assert.equal(haveAllSettled(viewOf(['healthy', 'waiting<'])), false, 'it has yet to come');
  });
});
