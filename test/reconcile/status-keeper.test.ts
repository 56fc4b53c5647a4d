import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StatusKeeper } from '../../src/reconcile/status-keeper.ts';
import type { Root } from '../../src/store/root.ts';
import { readStatus } from '../../src/store/status-file.ts';
import { openTestRoot } from '../store/support.ts';

const identity = {
  ring: 'canary',
  replica: 'pod-1',
  repository: 'https://git.example.com/platform.git',
  branch: 'main',
  ringlock_version: '0.1.0',
};
const commit = 'a'.repeat(40);

test('a status that could not be written is written when it is said again', async (t) => {
  const root = await openTestRoot(t);
  let fails = 0;
  const failing: Root = {
    ...root,
    writeStatus: async (status) => {
      if (fails-- > 0) throw new Error('planted');
      await root.writeStatus(status);
    },
  };
  const keeper = await StatusKeeper.start(failing, identity, () => new Date());
  await keeper.converged(commit, undefined);
  fails = 1;
  await assert.rejects(keeper.outboxPending(0));
  await keeper.outboxPending(0);
  assert.equal((await readStatus(root.path))?.outbox_pending, 0);
  fails = 1;
  await assert.rejects(keeper.outboxPending(3));
  await keeper.unchanged(commit);
  assert.equal((await readStatus(root.path))?.outbox_pending, 3);
});

test('of two statuses said at once the later one stays', async (t) => {
  const root = await openTestRoot(t);
  let slow = true;
  const sluggish: Root = {
    ...root,
    writeStatus: async (status) => {
      if (slow) {
        slow = false;
        await sleep(30);
      }
      await root.writeStatus(status);
    },
  };
  const keeper = await StatusKeeper.start(sluggish, identity, () => new Date());
  await Promise.all([keeper.outboxPending(0), keeper.converged(commit, undefined)]);
  assert.equal((await readStatus(root.path))?.state, 'converged');
});

test('what was killed is counted, what was ended is not', async (t) => {
  const root = await openTestRoot(t);
  const at = new Date('2026-05-04T10:00:00Z');
  const restarts = async (tookOver: boolean, now = at) => {
    const keeper = await StatusKeeper.start({ ...root, tookOver }, identity, () => now);
    await keeper.converged(commit, undefined);
    return (await readStatus(root.path))?.restarts;
  };
  assert.equal(await restarts(false), null);
  assert.deepEqual(await restarts(true), { count: 1, last_at: at.toISOString() });
  assert.deepEqual(await restarts(false), { count: 1, last_at: at.toISOString() });
  const later = new Date('2026-05-04T11:00:00Z');
  assert.deepEqual(await restarts(true, later), { count: 2, last_at: later.toISOString() });
});
