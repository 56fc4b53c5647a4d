import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  changesBetween,
  changesKey,
  type DesiredInput,
  desiredLock,
} from '../../src/plan/desired-lock.ts';
import type { GraphModule } from '../../src/repo/graph.ts';
import type { Lock, LockEntry } from '../../src/repo/lock.ts';

function entry(version: string): LockEntry {
  const sha256 = `sha256:${Buffer.from(version).toString('hex').padEnd(64, '0')}`;
  const none = { source: null, tree: null, artifact: null, released_at: null };
  return { version, directory: null, sha256, file_count: 1, size_bytes: 1, ...none };
}

function lockOf(versions: Readonly<Record<string, string>>): Lock {
  const modules = Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ring: 'canary',
    platform: '2.0.0',
    modules: new Map(modules.map(([alias, version]) => [alias, entry(version)])),
  };
}

const versionsOf = ({ modules }: Lock) =>
  Object.fromEntries([...modules].map(([alias, { version }]) => [alias, version]));

function graphOf(lock: Lock, needs: Readonly<Record<string, readonly string[]>>) {
  return new Map<string, GraphModule>(
    [...lock.modules].map(([alias, { version }]) => {
      const dependencies = new Map((needs[alias] ?? []).map((other) => [other, '*']));
      return [alias, { version, platformRange: undefined, dependencies }];
    }),
  );
}

function inputOf(
  lock: Lock,
  lastGood: Lock | undefined,
  more: Partial<DesiredInput> & { needs?: Readonly<Record<string, readonly string[]>> } = {},
): DesiredInput {
  const { needs = {}, ...rest } = more;
  const graph = graphOf(lock, needs);
  const defaults = { tracking: true, onFailure: 'hold' as const, holds: new Map(), failures: [] };
  return { lock, lastGood, graph, ...defaults, ...rest };
}

const good = lockOf({ a: '1.0.0', b: '1.0.0', c: '1.0.0' });
const failed = (lock: Lock) => ({
  changes: changesBetween(good, lock),
  reason: 'sick',
  commit: 'x',
});

describe('the lock that a ring is to run', () => {
  it('is the committed one when nothing failed and nobody holds', () => {
    const lock = lockOf({ a: '2.0.0', b: '1.0.0' });
    assert.deepEqual(desiredLock(inputOf(lock, good)).lock, lock);
  });

  it('keeps a failed set and its changed dependents at the last good versions', () => {
    const sick = failed(lockOf({ a: '2.0.0', b: '1.0.0', c: '1.0.0' }));
    const lock = lockOf({ a: '2.0.0', b: '2.0.0', c: '2.0.0' });
    const desired = desiredLock(inputOf(lock, good, { failures: [sick], needs: { b: ['a'] } }));
    assert.deepEqual(versionsOf(desired.lock), { a: '1.0.0', b: '1.0.0', c: '2.0.0' });
    assert.deepEqual([...desired.held.keys()], ['a', 'b']);
    assert.equal(desired.blocked, undefined);
  });

  it('keeps a failed module out that had no good version', () => {
    const sick = failed(lockOf({ a: '1.0.0', b: '1.0.0', c: '1.0.0', d: '1.0.0' }));
    const lock = lockOf({ a: '1.0.0', b: '1.0.0', c: '2.0.0', d: '1.0.0' });
    const desired = desiredLock(inputOf(lock, good, { failures: [sick] }));
    assert.deepEqual(versionsOf(desired.lock), { a: '1.0.0', b: '1.0.0', c: '2.0.0' });
  });

  it('is the last good lock as a whole in a pinned ring, or where the policy says block', () => {
    const sick = failed(lockOf({ a: '2.0.0', b: '1.0.0', c: '1.0.0' }));
    const lock = lockOf({ a: '2.0.0', b: '1.0.0', c: '2.0.0' });
    for (const more of [{ tracking: false }, { onFailure: 'block' as const }]) {
      const desired = desiredLock(inputOf(lock, good, { failures: [sick], ...more }));
      assert.deepEqual(desired.lock, good);
      assert.equal(desired.blocked, sick);
    }
  });

  it('lets go once the set has changed, also when a part of it comes again', () => {
    const sick = failed(lockOf({ a: '2.0.0', b: '2.0.0', c: '1.0.0' }));
    for (const versions of [
      { a: '2.0.1', b: '2.0.0', c: '1.0.0' },
      { a: '1.0.0', b: '2.0.0', c: '1.0.0' },
    ]) {
      const lock = lockOf(versions);
      assert.deepEqual(desiredLock(inputOf(lock, good, { failures: [sick] })).lock, lock);
    }
  });

  it('obeys a person before anything else', () => {
    const lock = lockOf({ a: '2.0.0', b: '2.0.0', c: '1.0.0' });
    const holds = new Map([
      ['a', { entry: entry('1.5.0'), reason: 'refunds', by: 'ada' }],
      ['z', { entry: entry('1.0.0'), reason: 'still needed', by: 'ada' }],
    ]);
    const { lock: desired } = desiredLock(inputOf(lock, good, { holds }));
    assert.deepEqual(versionsOf(desired), { a: '1.5.0', b: '2.0.0', c: '1.0.0', z: '1.0.0' });
    assert.deepEqual([...desired.modules.keys()], ['a', 'b', 'c', 'z']);
  });

  const versions = fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    fc.constantFrom('1.0.0', '1.1.0', '2.0.0'),
  );

  it('never contains a failed set again, and is decided once', () => {
    fc.assert(
      fc.property(versions, versions, fc.boolean(), (before, after, tracking) => {
        const [lastGood, lock] = [lockOf(before), lockOf(after)];
        const changes = changesBetween(lastGood, lock);
        fc.pre(changes.length > 0);
        const failures = [{ changes, reason: 'sick', commit: null }];
        const desired = desiredLock(inputOf(lock, lastGood, { failures, tracking }));
        assert.deepEqual(versionsOf(desired.lock), versionsOf(lastGood));
        const again = desiredLock(inputOf(desired.lock, lastGood, { failures, tracking }));
        assert.deepEqual(again.lock, desired.lock);
      }),
    );
  });

  it('names the same set of changes by the same text', () => {
    fc.assert(
      fc.property(versions, versions, (before, after) => {
        const changes = changesBetween(lockOf(before), lockOf(after));
        assert.equal(changesKey(changes), changesKey([...changes].reverse()));
        assert.equal(changes.length === 0, changesKey(changes) === '');
      }),
    );
  });
});
