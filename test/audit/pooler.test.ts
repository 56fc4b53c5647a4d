import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { withDatabase } from '../../src/audit/database.ts';
import { refuseTransactionPooler } from '../../src/audit/pooler.ts';
import { withSchema } from '../../src/lifecycle/schema.ts';
import { onEnd } from '../support/cleanup.ts';
import { pgbouncerMissing, startPgBouncer } from '../support/pgbouncer.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';

after(stopOwnPostgres);

const missing = pgbouncerMissing();

async function pooledUrl(
  t: TestContext,
  mode: 'session' | 'transaction' | 'statement',
  settings: Readonly<Record<string, string | number>> = {},
) {
  const { url, stop } = await startPgBouncer(await createDatabase(), mode, settings);
  onEnd(t, stop);
  return url;
}

const look = (url: string) => withDatabase(url, (client) => refuseTransactionPooler(client, url));

describe('a connection to Postgres', () => {
  it('is accepted when it is direct, without a second one', async () => {
    const url = await createDatabase();
    await withDatabase(url, (client) =>
      refuseTransactionPooler(client, 'postgres://127.0.0.1:1/none'),
    );
  });

  it('is accepted through a pooler in session mode', { skip: missing ?? false }, async (t) => {
    const url = await pooledUrl(t, 'session');
    await look(url);
    const options = { ring: 'stable', replica: 'pod-0', statementTimeoutMs: 0, lockTimeoutMs: 0 };
    assert.deepEqual(await withSchema({ ...options, databaseUrl: url }, (s) => s.ahead()), []);
  });

  for (const mode of ['transaction', 'statement'] as const) {
    it(`is refused through a pooler in ${mode} mode`, { skip: missing ?? false }, async (t) => {
      const url = await pooledUrl(t, mode);
      const refusal = {
        code: 'database-transaction-pooler',
        exitCode: 3,
        message: new RegExp(`through a pooler in ${mode} mode`),
        hint: /session port \(PgBouncer: pool_mode=session\)/,
      };
      await assert.rejects(look(url), refusal);
      const options = { ring: 'stable', replica: 'pod-0', statementTimeoutMs: 0, lockTimeoutMs: 0 };
      await assert.rejects(
        withSchema({ ...options, databaseUrl: url }, (s) => s.ahead()),
        refusal,
      );
    });
  }

  it('is refused also where the pooler takes its sessions in turn', {
    skip: missing ?? false,
  }, async (t) => {
    const url = await pooledUrl(t, 'transaction', { server_round_robin: 1, min_pool_size: 4 });
    const others = await Promise.all(
      [1, 2, 3].map(async () => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        onEnd(t, () => client.end());
        return client;
      }),
    );
    // Four sessions at once, then all of them free.
    await Promise.all(others.map((client) => client.query('begin; select pg_sleep(0.05); commit')));
    for (let turn = 0; turn < 5; turn++) {
      await assert.rejects(look(url), { code: 'database-transaction-pooler' });
    }
  });

  it('is not judged when the pooler has no second session to give', {
    skip: missing ?? false,
  }, async (t) => {
    const url = await pooledUrl(t, 'session', { default_pool_size: 1 });
    const looking = withDatabase(url, (client) => refuseTransactionPooler(client, url, 200));
    await assert.rejects(looking, { code: 'database-pooler-full', exitCode: 3 });
  });
});
