import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { statusIfAny } from '../support/deploy.ts';
import { pgbouncerMissing, startPgBouncer } from '../support/pgbouncer.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { startReplica } from '../support/ring.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

async function startThroughPooler(t: TestContext, mode: 'session' | 'transaction') {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const bouncer = await startPgBouncer(await createDatabase(), mode);
  onEnd(t, () => bouncer.stop());
  const options = { repo, databaseUrl: bouncer.url, withHealth: false };
  return { platform, replica: await startReplica(t, 0, options) };
}

describe('a replica whose DATABASE_URL is a PgBouncer', {
  skip: pgbouncerMissing() ?? false,
}, () => {
  it('in transaction mode is refused, with what to do', async (t) => {
    const { replica } = await startThroughPooler(t, 'transaction');
    const { message } = await waitUntil(
      'it is refused',
      () => {
        const error = statusIfAny(replica.root)?.last_error;
        return error?.code === 'database-transaction-pooler' ? error : undefined;
      },
      60_000,
    );
    assert.match(message, /pooler in transaction mode/);
    assert.match(replica.watching.log(), /code=database-transaction-pooler/);
    assert.equal(replica.served('Orders'), undefined);
  });

  it('in session mode works', async (t) => {
    const { platform, replica } = await startThroughPooler(t, 'session');
    const commit = platform.git('rev-parse', 'HEAD');
    await waitUntil(
      `it converges`,
      () => statusIfAny(replica.root)?.converged_commit === commit,
      60_000,
    );
  });
});
