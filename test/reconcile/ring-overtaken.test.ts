import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { joinThroughPostgres } from '../../src/reconcile/ring/postgres-ring.ts';
import {
  OperationStopped,
  type RingOperation,
  type RingTarget,
} from '../../src/reconcile/ring/ring-operation.ts';
import type { Lock } from '../../src/repo/lock.ts';
import { lockDigest } from '../../src/store/generation.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';

after(stopOwnPostgres);

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Commits are named as the platform that they deploy, and older than those of a later one. */
function targetAt(commit: string, more: Partial<RingTarget> = {}): RingTarget {
  const lock: Lock = { ring: 'edge', platform: commit, modules: new Map() };
  const policy = { rollout: { first: 1, maxUnavailable: 1 }, revertOn: 'quorum' } as const;
  return {
    ...{ commit, branch: 'main', lock, digest: lockDigest(lock), changes: [], previous: undefined },
    ...{ isReturn: false, isForced: false, policy, ...more },
  };
}

interface Part {
  readonly operation: RingOperation;
  /** As when the branch is seen at another commit; the operation's part is then closed. */
  overtake(by: string | undefined): Promise<void>;
}

/** A replica takes part, knowing the commits up to that of its target. */
async function join(databaseUrl: string, replica: string, target: RingTarget): Promise<Part> {
  const stop = new AbortController();
  const operation = await joinThroughPostgres(
    {
      ...{ ring: 'edge', replica, databaseUrl, isSwitched: false, log: silent },
      isOlder: async (commit) => target.commit !== null && commit < target.commit,
      signal: stop.signal,
      ending: new AbortController().signal,
    },
    target,
  );
  return {
    operation,
    overtake: (by) => {
      stop.abort(new OperationStopped('the branch is elsewhere now', by));
      return operation.close();
    },
  };
}

/** The first of two replicas is in its turn, the second waits. */
async function createRing(): Promise<{ url: string; first: Part; second: Part }> {
  const url = await createDatabase();
  const first = await join(url, 'first', targetAt('1.0.0'));
  const second = await join(url, 'second', targetAt('1.0.0'));
  assert.equal(await first.operation.takeTurn(), 'granted');
  return { url, first, second };
}

describe('an operation that a newer commit overtakes', () => {
  it('lets nobody else take a turn, from before the replica in its turn leaves it', async () => {
    const { first, second } = await createRing();
    const waiting = assert.rejects(second.operation.takeTurn(), OperationStopped);
    await first.overtake('1.0.1');
    await waiting;
    await second.operation.close();
  });

  it('is not begun again by a replica that does not see the newer commit yet', async () => {
    const { url, first, second } = await createRing();
    await first.overtake('1.0.1');
    await second.operation.close();
    await assert.rejects(
      join(url, 'second', targetAt('1.0.0')),
      /the ring is at 1\.0\.1, or on its way there/,
    );
    const { operation } = await join(url, 'first', targetAt('1.0.1'));
    const later = await join(url, 'second', targetAt('1.0.2'));
    assert.notEqual(later.operation.id, operation.id);
    await operation.close();
    await later.operation.close();
  });

  it('is begun again where nobody came to the newer commit, and at once where a person asks', async () => {
    const { url, first, second } = await createRing();
    await first.overtake('1.0.1');
    await second.operation.close();
    const asked = await join(url, 'second', targetAt('1.0.0', { isForced: true }));
    await asked.overtake('1.0.1');
    await query(url, `update ring_operations set decided_at = decided_at - interval '2 minutes'`);
    const { operation } = await join(url, 'second', targetAt('1.0.0'));
    assert.equal(operation.joined, 'rolling');
    await operation.close();
  });

  it('leaves its modules to the next one, whose schema may have to follow', async () => {
    const { url, first, second } = await createRing();
    await first.overtake('1.0.1');
    await second.operation.close();
    const { operation } = await join(url, 'first', targetAt('1.0.1'));
    assert.equal(operation.previous?.platform, '1.0.0');
    await operation.close();
  });

  it('goes on when the replica in its turn only dies, or is committed already', async () => {
    const { url, first, second } = await createRing();
    await first.overtake(undefined);
    assert.equal(await second.operation.takeTurn(), 'granted');
    const verdict = await second.operation.report({ state: 'healthy', reason: 'well' });
    assert.equal(verdict.outcome, 'committed');
    await second.overtake('1.0.1');
    const rows = await query(url, 'select state, overtaken_by from ring_operations');
    assert.deepEqual(rows, [{ state: 'committed', overtaken_by: null }]);
  });
});
