import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { createOutbox } from '../../src/audit/outbox.ts';
import type { RootState, RootStatus } from '../../src/store/status-file.ts';
import { sampleDigest, sampleEvent } from '../support/audit-event.ts';
import { runCli } from '../support/cli.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

function sampleStatus(state: RootState, changes: Partial<RootStatus> = {}): RootStatus {
  const now = new Date().toISOString();
  return {
    ...{
      ring: 'edge',
      replica: 'pod-a',
      state,
      repository: 'https://git.example/p',
      branch: 'main',
    },
    ...{ commit: 'c'.repeat(40), converged_commit: 'c'.repeat(40), generation: 3 },
    ...{ lock_digest: sampleDigest('lock'), modules: { orders: '1.4.2' }, last_error: null },
    ...{ observed_at: now, converged_at: now, outbox_pending: 0, ringlock_version: '0.1.0' },
    ...changes,
  };
}

/** A root with two events, delivered to a database of its own. */
async function createHistory(t: TestContext) {
  const root = temporaryDirectory(t, 'root');
  const url = await createDatabase();
  const directory = join(root, 'audit');
  const log = await openAuditLog({ directory });
  await log.append([
    sampleEvent(),
    sampleEvent({ action: 'upgrade', from: '1.4.2', to: '1.5.0', digest: sampleDigest('1.5.0') }),
    sampleEvent({ module: 'products' }),
  ]);
  await log.close();
  const outbox = createOutbox({ directory, databaseUrl: () => url });
  assert.equal((await outbox.deliver()).error, null);
  return { root, url, outbox };
}

describe('history', () => {
  it('says the same from Postgres and from the root, latest first', async (t) => {
    const { root, url } = await createHistory(t);
    const [fromRoot, fromDatabase] = await Promise.all([
      runCli(root, ['history', 'orders', '--root', '.', '--json']),
      runCli(root, ['history', 'orders', '--ring', 'edge', '--json'], { DATABASE_URL: url }),
    ]);
    assert.equal(fromRoot.code, 0, fromRoot.stderr);
    assert.deepEqual(JSON.parse(fromDatabase.stdout), JSON.parse(fromRoot.stdout));
    const versions = JSON.parse(fromRoot.stdout).events.map((event: { to: string }) => event.to);
    assert.deepEqual(versions, ['1.5.0', '1.4.2']);
  });

  it('says when a version shipped to a ring and by whose commit, and nothing else', async (t) => {
    const { root, url } = await createHistory(t);
    const args = ['history', 'orders', '--ring', 'edge', '--to', '1.4.2', '--json'];
    const [fromRoot, fromDatabase] = await Promise.all([
      runCli(root, [...args, '--root', '.']),
      runCli(root, [...args, '--database-url', url]),
    ]);
    assert.deepEqual(JSON.parse(fromDatabase.stdout), JSON.parse(fromRoot.stdout));
    const { events } = JSON.parse(fromRoot.stdout);
    assert.deepEqual(
      events.map(({ to, outcome, commit }: Record<string, unknown>) => [to, outcome, commit]),
      [['1.4.2', 'succeeded', 'c'.repeat(40)]],
    );
  });

  it('shows who did it in a table, from a database URL kept in a file', async (t) => {
    const { root, url } = await createHistory(t);
    writeFileSync(join(root, 'url'), `${url}\n`);
    const { code, stdout } = await runCli(root, ['history', '--limit', '2'], {
      DATABASE_URL_FILE: join(root, 'url'),
    });
    assert.equal(code, 0);
    assert.match(stdout, /1\.4\.2 → 1\.5\.0.*Ada Developer <ada@example\.com>.*cccccccccc.*pod-a/);
    assert.equal(stdout.match(/ada@example/g)?.length, 2);
  });

  it('ends with 2 without a source and with 3 without a database, the password unsaid', async (t) => {
    const root = temporaryDirectory(t, 'root');
    const none = await runCli(root, ['history']);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /--database-url/);
    const url = `postgres://u:s3cret@127.0.0.1:${await freePort()}/d`;
    const away = await runCli(root, ['history', '--verbose', '--database-url', url]);
    assert.equal(away.code, 3);
    assert.doesNotMatch(away.stdout + away.stderr, /s3cret/);
    const wrong = await runCli(root, ['history', '--database-url', 'postgres//u:s3cret@h/d']);
    assert.equal(wrong.code, 2);
    assert.doesNotMatch(wrong.stdout + wrong.stderr, /s3cret/);
  });
});

describe('status', () => {
  for (const [state, expected] of [
    ['converged', 0],
    ['refused', 1],
    ['failed', 1],
    ['unreachable', 3],
  ] as const) {
    it(`ends with ${expected} for a root that is ${state}`, async (t) => {
      const root = temporaryDirectory(t, 'root');
      writeFileSync(join(root, 'status.json'), JSON.stringify(sampleStatus(state)));
      const { code, stdout } = await runCli(root, ['status', '--root', '.', '--exit-code']);
      assert.equal(code, expected);
      assert.match(stdout, new RegExp(`edge.*pod-a.*${state}`));
    });
  }

  it('shows every replica, and counts none that is gone', async (t) => {
    const { root, url, outbox } = await createHistory(t);
    assert.equal(await outbox.reportStatus(sampleStatus('converged')), null);
    const old = { replica: 'pod-b', observed_at: new Date(Date.now() - 3_600_000).toISOString() };
    assert.equal(await outbox.reportStatus(sampleStatus('failed', old)), null);
    const args = ['status', '--database-url', url, '--exit-code'];
    const gone = await runCli(root, args);
    assert.match(gone.stdout, /pod-b.*gone \(failed\)/);
    assert.equal(gone.code, 0);
    await outbox.reportStatus(sampleStatus('refused', { replica: 'pod-c' }));
    assert.equal((await runCli(root, args)).code, 1);
    assert.equal((await runCli(root, [...args, '--ring', 'stable'])).code, 3);
  });
});
