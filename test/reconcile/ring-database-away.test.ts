import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { readEvents, readStatusFile } from '../support/deploy.ts';
import { createOnceRing, type OnceRing, runsOf, stepsOf } from '../support/once-ring.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { startReplica } from '../support/ring.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

after(stopOwnPostgres);

interface AwayRing extends OnceRing {
  readonly proxy: TcpProxy;
  readonly environment: NodeJS.ProcessEnv;
}

/** A ring whose replicas reach its database, and the application's, through one network. */
async function createAwayRing(t: TestContext, ...more: string[]): Promise<AwayRing> {
  const [ringUrl, applicationUrl] = [await createDatabase(), await createDatabase()];
  const proxy = await startTcpProxy(t, ringUrl);
  const through = { ringUrl, applicationUrl, urlOf: () => proxy.url, more };
  const ring = await createOnceRing(t, { ...through, migrations: [] });
  const environment = { DATABASE_URL: proxy.url, MIGRATIONS_DATABASE_URL: applicationUrl };
  return { ...ring, proxy, environment };
}

const saysAway = (root: string) => readStatusFile(root).last_error?.code === 'database-unreachable';

describe('a ring whose database is away', { concurrency: 2 }, () => {
  it('waits with migrations and handlers, serves the last good, and goes on when it is back', async (t) => {
    const ring = await createAwayRing(t, '--database-grace', '10ms');
    const { proxy, replicas, until, log } = ring;
    proxy.reset();
    const change = { migrations: ['0001_first'], handler: 'once' } as const;
    const commit = ring.deploy('1.1.0', change);
    await until('all say so', () => replicas.every(({ root }) => saysAway(root)));
    for (const replica of replicas) {
      assert.equal(replica.served('Orders'), '1.0.1');
      assert.match(replica.watching.log(), /database-unreachable/);
    }
    assert.equal(await runsOf(ring, '0001_first'), 0);
    proxy.heal();
    await ring.converged(commit);
    assert.equal(await runsOf(ring, '0001_first'), 1);
    assert.equal(log.story('1.1.0'), 'begin end');
    assert.deepEqual(
      (await stepsOf(ring, 'handler orders onUpgrade')).map(({ state }) => state),
      ['succeeded'],
    );
    const rows = await query<{ commit: string }>(
      ring.ringUrl,
      `select commit from ring_operations where state = 'committed' order by created_at`,
    );
    assert.equal(rows.at(-1)?.commit, commit);
  });

  it('goes on alone without such work after the grace, and agrees when it is back', async (t) => {
    const ring = await createAwayRing(t, '--database-grace', '1s');
    const { proxy, replicas } = ring;
    proxy.reset();
    const alone = ring.deploy('1.1.0');
    await ring.converged(alone);
    assert.ok(replicas.every(({ watching }) => /goes on alone/.test(watching.log())));
    proxy.heal();
    await ring.until('what they did has arrived', async () => {
      const rows = await query(
        ring.ringUrl,
        `select distinct replica from audit_events where module = 'orders' and to_version = '1.1.0'`,
      );
      return rows.length === replicas.length;
    });
    await ring.until('the ring remembers it as good', async () => {
      const rows = await query<{ commit: string }>(
        ring.ringUrl,
        `select value->>'commit' as commit from ring_memory where kind = 'good'`,
      );
      return rows[0]?.commit === alone;
    });
    // The next one is the whole ring's again.
    const commit = ring.deploy('1.2.0', { handler: 'once' });
    await ring.converged(commit);
    assert.equal(ring.log.story('1.2.0'), 'begin end');
    const ids = replicas.map(({ root }) => ringOperationOf(root, '1.2.0'));
    assert.equal(new Set(ids).size, 1, ids.join());
    assert.ok(ids[0]);
  });

  it('has a pod with an empty root start all the same', async (t) => {
    const ring = await createAwayRing(t);
    ring.proxy.reset();
    const { repo, environment } = ring;
    const fresh = await startReplica(t, 7, { repo, environment, withHealth: false });
    await ring.until('it serves', () => fresh.served('Orders') === '1.0.1');
    ring.proxy.heal();
    const commit = ring.deploy('1.1.0', { handler: 'once' });
    await ring.converged(commit, [...ring.replicas, fresh]);
    assert.equal(ring.log.story('1.1.0'), 'begin end');
  });
});

/** The ring's operation in which a root went to a version of Orders. */
function ringOperationOf(root: string, version: string): unknown {
  const events = readEvents(root);
  const step = events.find(({ module, to }) => module === 'orders' && to === version);
  const whole = events.find(
    ({ operation_id, action }) => operation_id === step?.['operation_id'] && action === 'operation',
  );
  return (whole?.['detail'] as { ring_operation?: string } | undefined)?.ring_operation;
}
