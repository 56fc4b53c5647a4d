import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { deploy, readEvents, reconcileOnce, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';

describe('what a reconciler leaves in Postgres', { concurrency: 2 }, () => {
  after(stopOwnPostgres);

  it('answers when a version reached a ring, and by whose commit, in one query', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const DATABASE_URL = await createDatabase();
    const ring = { repo, root };
    assert.equal((await reconcileOnce(ring, [], { DATABASE_URL })).code, 0);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1\n\nRinglock-Override: the shop is down\n');
    assert.equal((await reconcileOnce(ring, [], { DATABASE_URL })).code, 0);
    const rows = await query(
      DATABASE_URL,
      `select actor, commit, occurred_at <= now() as past from audit_events
       where ring = 'canary' and module = 'orders' and to_version = '1.0.1'`,
    );
    const active = await query(
      DATABASE_URL,
      `select version from module_versions
       where ring = 'canary' and alias = 'orders' and is_active`,
    );
    assert.deepEqual(rows, [{ actor: 'Ada Developer <ada@example.com>', commit, past: true }]);
    assert.deepEqual(active, [{ version: '1.0.1' }]);
    // Why it went over closed gates stands with the operation, in the journal and here.
    const overrides = await query(
      DATABASE_URL,
      `select commit, detail ->> 'override' as reason from audit_events where detail ? 'override'`,
    );
    assert.deepEqual(overrides, [{ commit, reason: 'the shop is down' }]);
    const journaled = readEvents(root).map(
      ({ detail }) => (detail as { override?: string }).override,
    );
    assert.deepEqual(journaled.filter(Boolean), ['the shop is down']);
  });

  it('arrives whole, each event once, after Postgres was away for every pass before', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const away = `postgres://nobody:secret-word@127.0.0.1:${await freePort()}/nowhere`;
    for (const version of ['1.0.1', '1.0.2', '1.1.0']) {
      release(platform, 'Orders', version);
      deploy(platform, `Orders ${version}`);
      const grace = ['--database-grace', '1ms'];
      const { code, stderr } = await reconcileOnce({ repo, root }, grace, { DATABASE_URL: away });
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /secret-word/);
    }
    const DATABASE_URL = await createDatabase();
    for (let pass = 0; pass < 2; pass++) {
      assert.equal((await reconcileOnce({ repo, root }, [], { DATABASE_URL })).code, 0);
    }
    const rows = await query<{ id: string }>(DATABASE_URL, 'select id from audit_events');
    const inJournal = readEvents(root).map(({ id }) => id);
    assert.deepEqual(rows.map(({ id }) => id).sort(), inJournal.sort());
  });
});
