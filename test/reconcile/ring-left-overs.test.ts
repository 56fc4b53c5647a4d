import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { deploy, reconcileOnce, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

describe('what an operation of a ring left undone', () => {
  it('is ended by the replica that was killed in it, as soon as it is here again', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const [ringUrl, applicationUrl] = [await createDatabase(), await createDatabase()];
    const environment = { DATABASE_URL: ringUrl, MIGRATIONS_DATABASE_URL: applicationUrl };
    platform.write({ 'modules/Orders/migrations/0001_first.up.sql': 'create table orders ();\n' });
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    assert.equal((await reconcileOnce({ repo, root }, [], environment)).code, 0);
    // As a kill after the verdict leaves it: committed here and in the ring, its schema not followed.
    await query(ringUrl, 'update ring_operations set finished_at = null');
    const cutOff = await query(
      ringUrl,
      `update ring_steps set state = 'started', finished_at = null, detail = null
       where key = 'schema down' returning key`,
    );
    assert.equal(cutOff.length, 1);

    assert.equal((await reconcileOnce({ repo, root }, [], environment)).code, 0);
    assert.deepEqual(
      await query(ringUrl, 'select state, finished_at is null as open from ring_operations'),
      [{ state: 'committed', open: false }],
    );
    assert.deepEqual(
      await query(
        ringUrl,
        `select key, state from ring_steps where key like 'schema %' order by key`,
      ),
      [
        { key: 'schema down', state: 'interrupted' },
        { key: 'schema tidy', state: 'succeeded' },
      ],
    );
  });
});
