import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { withDatabase } from '../../src/audit/database.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import { overwriteRecord, RingMemory } from '../../src/reconcile/ring/ring-memory.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

const url = 'https://git.example.com/acme/platform.git';
const signed = { by: 'ada@example.com', key: 'SHA256:key', repository: url };

/** A memory whose clock the test sets. */
async function openMemory(t: TestContext, root = temporaryDirectory(t, 'root')) {
  const clock = { now: new Date('2026-06-01T12:00:00Z') };
  const memory = await RingMemory.open(root, 'edge', () => clock.now, { warn: () => {} });
  return { memory, clock, root };
}

describe('what a ring remembers of its branches', { concurrency: true }, () => {
  it('is at the branch that it went to last, also when the clock was put back in between', async (t) => {
    const { memory, clock, root } = await openMemory(t);
    await memory.moveAnchor('main', 'a', url);
    await memory.moveVerified({ commit: 'a', branch: 'main', ...signed });
    clock.now = new Date('2026-06-01T09:00:00Z');
    await memory.moveAnchor('release', 'b', url);
    await memory.moveVerified({ commit: 'b', branch: 'release', ...signed });
    for (const { newestAnchor, newestVerified } of [memory, (await openMemory(t, root)).memory]) {
      assert.equal(newestAnchor?.branch, 'release');
      assert.equal(newestVerified?.commit, 'b');
    }
  });

  it('is where an operation of the ring went, also past a replica whose clock is ahead', async (t) => {
    const database = await createDatabase();
    const { memory, clock } = await openMemory(t);
    clock.now = new Date(Date.now() + 3_600_000);
    await memory.moveAnchor('main', 'a', url);
    await withDatabase(database, async (client) => {
      await ensureSchema(client);
      await memory.sync(client);
      await overwriteRecord(client, 'edge', 'anchor', 'release', { commit: 'b' });
      await memory.sync(client);
      assert.equal(memory.newestAnchor?.branch, 'release');
      // Nor is what concerns one module pushed along by another's.
      await overwriteRecord(client, 'edge', 'failure', 'orders', { changes: [] });
      const { rows } = await client.query<{ is_now: boolean }>(
        `select at <= now() as is_now from ring_memory where kind = 'failure'`,
      );
      assert.deepEqual(rows, [{ is_now: true }]);
    });
  });
});
