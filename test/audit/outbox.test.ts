import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { type AuditLog, openAuditLog } from '../../src/audit/audit-log.ts';
import { HeadSearch } from '../../src/audit/chain-report.ts';
import type { AuditEventInput } from '../../src/audit/event.ts';
import { createOutbox, type Outbox, type OutboxOptions } from '../../src/audit/outbox.ts';
import { verifyRoot } from '../../src/audit/verify-root.ts';
import { editJournal, makeChain, segmentsOf } from '../support/audit-chain.ts';
import { sampleDigest, sampleEvent } from '../support/audit-event.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

/** A replica with a journal of its own; its clock stands where `at` was last set. */
async function openReplica(t: TestContext, url: string, options: Partial<OutboxOptions> = {}) {
  const directory = temporaryDirectory(t, 'audit');
  let time = Date.parse('2026-01-01T00:00:00Z');
  const log: AuditLog = await openAuditLog({ directory, now: () => new Date(time) });
  t.after(() => log.close());
  const outbox: Outbox = createOutbox({ directory, databaseUrl: () => url, ...options });
  const appendAt = (second: number, ...events: AuditEventInput[]) => {
    time = Date.parse('2026-01-01T00:00:00Z') + second * 1000;
    return log.append(events);
  };
  return { directory, log, outbox, appendAt };
}

const activeVersions = (url: string) =>
  query<{ version: string }>(
    url,
    'select version from module_versions where is_active order by alias, version',
  ).then((rows) => rows.map(({ version }) => version));

describe('the outbox', () => {
  it('brings every event to Postgres once, and nothing when there is nothing new', async (t) => {
    const url = await createDatabase();
    const { appendAt, outbox } = await openReplica(t, url, { batchSize: 2 });
    await appendAt(1, sampleEvent(), sampleEvent({ module: 'products' }), sampleEvent());
    assert.deepEqual(await outbox.deliver(), { sent: 3, pending: 0, error: null });
    assert.deepEqual(await outbox.deliver(), { sent: 0, pending: 0, error: null });
    assert.deepEqual(await query(url, 'select count(*)::int as n from audit_events'), [{ n: 3 }]);
    assert.deepEqual(
      await query(url, 'select alias, version, content_hash from module_versions order by 1'),
      [
        { alias: 'orders', version: '1.4.2', content_hash: sampleDigest('1.4.2') },
        { alias: 'products', version: '1.4.2', content_hash: sampleDigest('1.4.2') },
      ],
    );
  });

  it('answers when Orders 1.4.2 shipped to edge and by whose commit with one query', async (t) => {
    const url = await createDatabase();
    const { appendAt, outbox } = await openReplica(t, url);
    await appendAt(5, sampleEvent());
    await outbox.deliver();
    assert.deepEqual(
      await query(
        url,
        `select occurred_at, actor, commit from audit_events where ring = 'edge' and module = 'orders'
           and to_version = '1.4.2' and outcome = 'succeeded' order by occurred_at limit 1`,
      ),
      [
        {
          occurred_at: new Date('2026-01-01T00:00:05Z'),
          actor: 'Ada Developer <ada@example.com>',
          commit: 'c'.repeat(40),
        },
      ],
    );
  });

  it('doubles nothing when it dies between Postgres and its own note', async (t) => {
    const url = await createDatabase();
    let armed = true;
    const { appendAt, outbox, directory } = await openReplica(t, url, {
      fault: (point) => {
        if (armed && point === 'outbox:committed') throw new Error('killed here');
      },
    });
    await appendAt(1, sampleEvent());
    const first = await outbox.deliver();
    assert.match(first.error?.message ?? '', /killed here/);
    armed = false;
    const again = createOutbox({ directory, databaseUrl: () => url });
    assert.deepEqual(await again.deliver(), { sent: 1, pending: 0, error: null });
    assert.deepEqual(await query(url, 'select count(*)::int as n from audit_events'), [{ n: 1 }]);
  });

  it('keeps everything while Postgres is away and says so without the password', async (t) => {
    const url = await createDatabase();
    const away = `postgres://ringlock:s3cret%21word@127.0.0.1:${await freePort()}/ring`;
    let current = away;
    const { appendAt, outbox } = await openReplica(t, url, { databaseUrl: () => current });
    await appendAt(1, sampleEvent(), sampleEvent());
    const { sent, pending, error } = await outbox.deliver();
    assert.deepEqual({ sent, pending }, { sent: 0, pending: 2 });
    assert.equal(error?.code, 'database-unreachable');
    assert.doesNotMatch(JSON.stringify([error?.message, error?.stack, error?.details]), /s3cret/);
    current = url;
    assert.deepEqual(await outbox.deliver(), { sent: 2, pending: 0, error: null });
  });

  it('sends all again to a database that was replaced', async (t) => {
    let url = await createDatabase();
    const { appendAt, outbox } = await openReplica(t, url, { databaseUrl: () => url });
    await appendAt(1, sampleEvent());
    await outbox.deliver();
    url = await createDatabase();
    await appendAt(2, sampleEvent());
    assert.deepEqual(await outbox.deliver(), { sent: 2, pending: 0, error: null });
  });

  it('does not trust a damaged note of what was sent', async (t) => {
    const url = await createDatabase();
    const { appendAt, directory } = await openReplica(t, url);
    await appendAt(1, sampleEvent());
    writeFileSync(join(directory, 'outbox.json'), '{"root":');
    const outbox = createOutbox({ directory, databaseUrl: () => url });
    assert.deepEqual(await outbox.deliver(), { sent: 1, pending: 0, error: null });
  });

  it('sends what a database that was restored from an older backup has lost', async (t) => {
    const url = await createDatabase();
    const { appendAt, outbox } = await openReplica(t, url);
    await appendAt(1, sampleEvent(), sampleEvent());
    await outbox.deliver();
    // Another root's later events are in the backup; of this root the last one is not.
    await query(url, 'delete from audit_events where sequence = 2');
    await appendAt(2, sampleEvent());
    assert.deepEqual(await outbox.deliver(), { sent: 3, pending: 0, error: null });
    assert.deepEqual(await query(url, 'select count(*)::int as n from audit_events'), [{ n: 3 }]);
  });

  it('skips nothing of a journal that was begun anew in fewer segments', async (t) => {
    const url = await createDatabase();
    const { directory } = await makeChain(t, 8);
    const outbox = () => createOutbox({ directory, databaseUrl: () => url });
    await outbox().deliver();
    editJournal(directory).write([]);
    for (const name of segmentsOf(directory).slice(1)) rmSync(join(directory, name));
    const log = await openAuditLog({ directory });
    await log.append([sampleEvent()]);
    await log.close();
    assert.deepEqual(await outbox().deliver(), { sent: 1, pending: 0, error: null });
  });

  it('delivers on when segments that were delivered are moved away', async (t) => {
    const url = await createDatabase();
    const { directory, events } = await makeChain(t, 8);
    const outbox = () => createOutbox({ directory, databaseUrl: () => url });
    await outbox().deliver();
    rmSync(join(directory, segmentsOf(directory)[0] ?? ''));
    const log = await openAuditLog({ directory });
    await log.append([sampleEvent()]);
    await log.close();
    assert.deepEqual(await outbox().deliver(), { sent: 1, pending: 0, error: null });
    const chains = 'select root::text, count(*)::int as n from audit_events group by root';
    assert.deepEqual(await query(url, chains), [{ root: events[0]?.id, n: 9 }]);
    const report = await verifyRoot(join(directory, '..'), url, new HeadSearch([]));
    assert.deepEqual([report.breaks, report.from === 1, report.postgres?.pending], [[], false, 0]);
  });

  it('leaves the right version active whatever comes late and from which replica', async (t) => {
    const url = await createDatabase();
    const a = await openReplica(t, url);
    const b = await openReplica(t, url);
    await b.appendAt(
      1,
      sampleEvent({ replica: 'pod-b', to: '1.0.0', digest: sampleDigest('1.0.0') }),
    );
    await a.appendAt(1, sampleEvent({ to: '1.0.0', digest: sampleDigest('1.0.0') }));
    await a.appendAt(
      9,
      sampleEvent({ action: 'upgrade', from: '1.0.0', to: '1.1.0', digest: sampleDigest('1.1.0') }),
    );
    await a.outbox.deliver();
    assert.deepEqual(await activeVersions(url), ['1.1.0']);
    await b.outbox.deliver();
    assert.deepEqual(await activeVersions(url), ['1.1.0']);
    assert.deepEqual(await query(url, 'select count(*)::int as n from module_versions'), [
      { n: 2 },
    ]);
    await a.appendAt(
      20,
      sampleEvent({
        action: 'upgrade',
        from: '1.0.0',
        to: '1.1.0',
        digest: sampleDigest('1.1.0'),
        outcome: 'reverted',
      }),
    );
    await a.outbox.deliver();
    assert.deepEqual(await activeVersions(url), ['1.0.0']);
    await a.appendAt(
      30,
      sampleEvent({ action: 'remove', from: '1.0.0', to: null, digest: sampleDigest('1.0.0') }),
    );
    await a.outbox.deliver();
    assert.deepEqual(await activeVersions(url), []);
  });

  it('sets up an empty database once when replicas start together', async (t) => {
    const url = await createDatabase();
    const replicas = await Promise.all([1, 2, 3, 4].map(() => openReplica(t, url)));
    await Promise.all(replicas.map(({ appendAt }) => appendAt(1, sampleEvent())));
    const results = await Promise.all(replicas.map(({ outbox }) => outbox.deliver()));
    for (const result of results) assert.deepEqual(result, { sent: 1, pending: 0, error: null });
    const names = 'select name from ringlock_migrations order by name';
    assert.deepEqual(await query(url, names), [
      { name: '001-first-tables' },
      { name: '002-ring-tables' },
      { name: '003-outward-tables' },
      { name: '004-rechained-events' },
      { name: '005-overtaken-operations' },
    ]);
  });

  it('refuses a database whose tables are of another program', async (t) => {
    const url = await createDatabase();
    await query(url, 'create table tenants (id int)');
    const { appendAt, outbox } = await openReplica(t, url);
    await appendAt(1, sampleEvent());
    const { error, pending } = await outbox.deliver();
    assert.equal(error?.code, 'database-tables-taken');
    assert.match(error?.message ?? '', /tenants/);
    assert.equal(pending, 1);
  });

  it('delivers text that Postgres cannot hold as it is', async (t) => {
    const url = await createDatabase();
    const { appendAt, outbox } = await openReplica(t, url);
    await appendAt(
      1,
      sampleEvent({ detail: { message: 'a\0b\ud800c', size_bytes: 1e300, 'k\0': Number.NaN } }),
    );
    assert.deepEqual(await outbox.deliver(), { sent: 1, pending: 0, error: null });
  });
});
