import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { type ChainReport, HeadSearch } from '../../src/audit/chain-report.ts';
import { createOutbox } from '../../src/audit/outbox.ts';
import { repairAudit } from '../../src/audit/repair-audit.ts';
import { resendAudit } from '../../src/audit/resend-audit.ts';
import { verifyDatabase } from '../../src/audit/verify-database.ts';
import { verifyRoot } from '../../src/audit/verify-root.ts';
import { editJournal, forgedLine, makeChain } from '../support/audit-chain.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';

after(stopOwnPostgres);

const noHeads = () => new HeadSearch([]);

async function deliver(directory: string, url: string): Promise<void> {
  const { error } = await createOutbox({
    directory,
    databaseUrl: () => url,
    batchSize: 3,
  }).deliver();
  assert.equal(error, null);
}

/** A root whose events are all delivered to a database of its own. */
async function makeDelivered(t: TestContext, count = 8) {
  const url = await createDatabase();
  const chain = await makeChain(t, count, (index) => ({
    replica: 'pod-a',
    detail: { message: `number ${index}`, size_bytes: 1e21, nested: { b: [1.5, null], a: 'é' } },
  }));
  await deliver(chain.directory, url);
  return { ...chain, url };
}

/** Kind, place and number of the first break found. */
function broken({ breaks: [first] }: ChainReport): string | undefined {
  return first && `${first.where} ${first.kind} ${first.sequence}`;
}

async function brokenChains(url: string): Promise<(string | undefined)[]> {
  const chains = await verifyDatabase(url, {}, noHeads());
  return chains.map(broken);
}

describe('the verification against Postgres', () => {
  it('finds the same events in the root, in Postgres and between them', async (t) => {
    const { root, url, events } = await makeDelivered(t);
    const report = await verifyRoot(root, url, noHeads());
    assert.deepEqual(report.breaks, []);
    assert.deepEqual(report.postgres, { same: 8, pending: 0, earlier: 0, lost: 0 });
    assert.deepEqual([report.chain, report.head], [events[0]?.id, events.at(-1)?.hash]);
    const [alone] = await verifyDatabase(url, {}, noHeads());
    assert.deepEqual([alone?.chain, alone?.head], [report.chain, report.head]);
  });

  it('finds every column of an event that is edited, and says which', async (t) => {
    const { root, url, events } = await makeDelivered(t);
    const edits = {
      occurred_at: `occurred_at + interval '1 microsecond'`,
      ring: `'stable'`,
      replica: `'pod-b'`,
      actor: `'Mallory <m@example.com>'`,
      commit: `repeat('d', 40)`,
      operation_id: 'gen_random_uuid()',
      action: `'upgrade'`,
      module: `'products'`,
      from_version: `'1.0.0'`,
      to_version: 'null',
      digest: 'null',
      outcome: `'failed'`,
      detail: `detail || '{"nested": {"b": [1.5, null], "a": "e"}}'`,
      previous: `repeat('0', 64)`,
      hash: `repeat('a', 64)`,
    };
    const names: Readonly<Record<string, RegExp>> = {
      ...{ occurred_at: /another time/, commit: /another actor/, detail: /another detail/ },
    };
    for (const [column, value] of Object.entries(edits)) {
      await query(
        url,
        `create table kept as select * from audit_events where sequence = 4;
         update audit_events set ${column} = ${value} where sequence = 4`,
      );
      const report = await verifyRoot(root, url, noHeads());
      assert.equal(broken(report), 'postgres changed 4', column);
      const [found] = report.breaks;
      assert.equal(found?.expected, events[3]?.hash);
      assert.match(found?.message ?? '', names[column] ?? /event 4 \(.*\) has another /);
      const isSample = column === 'hash' || column === 'detail';
      if (isSample) assert.deepEqual(await brokenChains(url), ['postgres changed 4'], column);
      await query(
        url,
        `delete from audit_events where sequence = 4;
         insert into audit_events select * from kept; drop table kept`,
      );
    }
    assert.deepEqual(await brokenChains(url), [undefined]);
  });

  it('finds rows deleted, also at the end, given to another chain, put in and renumbered', async (t) => {
    const { root, url, directory } = await makeDelivered(t);
    const attack = async (sql: string, withRoot: string, alone: string | undefined) => {
      await query(url, `create table kept as select * from audit_events; ${sql}`);
      assert.equal(broken(await verifyRoot(root, url, noHeads())), withRoot, sql);
      assert.equal((await brokenChains(url))[0], alone, sql);
      await query(
        url,
        'delete from audit_events; insert into audit_events select * from kept; drop table kept',
      );
    };
    await attack(
      'delete from audit_events where sequence = 1',
      'postgres missing 1',
      'postgres missing 1',
    );
    await attack(
      'delete from audit_events where sequence in (3, 4)',
      'postgres missing 3',
      'postgres missing 3',
    );
    // A database alone cannot know how long its chains should be: a head kept elsewhere does.
    await attack('delete from audit_events where sequence > 6', 'postgres truncated 7', undefined);
    await attack(
      'update audit_events set root = gen_random_uuid() where sequence = 5',
      'postgres missing 5',
      'postgres missing 5',
    );
    await attack(
      `update audit_events set sequence = 11 - sequence where sequence in (5, 6)`,
      'postgres missing 5',
      'postgres changed 5',
    );
    const { lines } = editJournal(directory);
    const id = '0198a7a0-0000-7000-8000-000000000000';
    const forged = JSON.parse(forgedLine(lines[4]?.text ?? '', { id, to: '6.6.6' }));
    const insert = `insert into audit_events (id, root, sequence, occurred_at, ring, replica, actor, commit,
      operation_id, action, module, from_version, to_version, digest, outcome, detail, previous, hash)
      select '${id}', root, sequence, occurred_at, ring, replica, actor, commit, operation_id, action, module,
      from_version, '6.6.6', digest, outcome, detail, previous, '${forged.hash}' from audit_events where sequence = 5`;
    await attack(insert, 'postgres inserted 5', 'postgres inserted 5');
    await attack(
      `${insert}; delete from audit_events where sequence = 5 and id <> '${id}'`,
      'postgres missing 5',
      'postgres changed 5',
    );
  });

  it('takes what is on its way for no loss, and a root that is shorter than Postgres for one', async (t) => {
    const { root, url, directory } = await makeDelivered(t);
    const log = await openAuditLog({ directory });
    await log.append([sampleEvent(), sampleEvent()]);
    await log.close();
    const late = await verifyRoot(root, url, noHeads());
    assert.deepEqual(late.breaks, []);
    assert.deepEqual(late.postgres, { same: 8, pending: 2, earlier: 0, lost: 0 });
    const { lines, write } = editJournal(directory);
    write(lines.slice(0, 6));
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'root truncated 7');
    // Also without the note of what was delivered, and by that note without Postgres.
    assert.equal(broken(await verifyRoot(root, undefined, noHeads())), 'root truncated 7');
    writeFileSync(join(directory, 'outbox.json'), '');
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'root truncated 7');
  });

  it('knows the chains of two roots in one database, and whose broke', async (t) => {
    const { root, url } = await makeDelivered(t);
    const other = await makeChain(t, 5, () => ({ ring: 'canary', replica: 'pod-z' }));
    await deliver(other.directory, url);
    assert.deepEqual((await verifyRoot(root, url, noHeads())).breaks, []);
    assert.deepEqual((await verifyRoot(other.root, url, noHeads())).breaks, []);
    await query(url, `update audit_events set actor = 'x' where sequence = 2 and ring = 'canary'`);
    assert.deepEqual((await verifyRoot(root, url, noHeads())).breaks, []);
    assert.equal(broken(await verifyRoot(other.root, url, noHeads())), 'postgres changed 2');
    assert.deepEqual(await brokenChains(url), [undefined, 'postgres changed 2']);
    const canary = await verifyDatabase(url, { ring: 'canary' }, noHeads());
    assert.deepEqual(
      canary.map(({ chain }) => chain),
      [other.events[0]?.id],
    );
  });

  it('follows a chain that was repaired, here and in Postgres, and says that it was', async (t) => {
    const { root, url, directory } = await makeDelivered(t);
    const { lines, write } = editJournal(directory);
    const spoiled = { segment: lines[4]?.segment ?? '', text: 'rubbish' };
    write(lines.with(4, spoiled));
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'root changed 5');
    const repair = await repairAudit(root, new Date(), () => []);
    assert.equal(repair?.takenOver, 7);
    const log = await openAuditLog({ directory });
    const repairs = [{ path: 'audit', found: repair?.broken, moved_to: repair?.movedTo }];
    await log.append([sampleEvent({ action: 'operator', detail: { repairs } }), sampleEvent()]);
    await log.close();
    await deliver(directory, url);
    const report = await verifyRoot(root, url, noHeads());
    assert.deepEqual(report.breaks, []);
    assert.deepEqual([report.restored, report.repairs.length], [3, 1]);
    assert.deepEqual(report.postgres, { same: 9, pending: 0, earlier: 0, lost: 1 });
    assert.deepEqual(await brokenChains(url), [undefined]);
    assert.deepEqual(await query(url, 'select count(*)::int as n from audit_events'), [{ n: 10 }]);
    // The new chain is guarded in Postgres as the old one is.
    await query(url, `delete from audit_rechained where sequence = 6`);
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'postgres missing 6');
    assert.deepEqual((await brokenChains(url)).length, 1);
    assert.match((await brokenChains(url))[0] ?? '', /postgres (missing|inserted)/);
  });

  it('follows a chain whose first event was lost under the name of its next', async (t) => {
    const { root, url, directory, events } = await makeDelivered(t, 4);
    const { lines, write } = editJournal(directory);
    write(lines.with(0, { segment: lines[0]?.segment ?? '', text: 'rubbish' }));
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'root changed 1');
    await repairAudit(root, new Date(), () => []);
    const log = await openAuditLog({ directory });
    await log.append([sampleEvent()]);
    await log.close();
    await deliver(directory, url);
    const report = await verifyRoot(root, url, noHeads());
    assert.deepEqual([report.breaks, report.chain, report.restored], [[], events[1]?.id, 3]);
    assert.deepEqual(report.postgres, { same: 4, pending: 0, earlier: 0, lost: 0 });
    assert.deepEqual(await brokenChains(url), [undefined, undefined]);
  });

  it('goes on naming a row that was changed with its hash, also after the root was sent again', async (t) => {
    const { root, url, directory } = await makeDelivered(t, 5);
    const { lines } = editJournal(directory);
    const { hash } = JSON.parse(forgedLine(lines[4]?.text ?? '', { to: '6.6.6' }));
    const forge = `update audit_events set to_version = '6.6.6', hash = $1 where sequence = 5`;
    await query(url, forge, [hash]);
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'postgres changed 5');
    assert.deepEqual(await brokenChains(url), [undefined], 'the last row alone proves nothing');
    assert.deepEqual(await resendAudit(root, url), { events: 5, added: 0 });
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'postgres changed 5');
    assert.deepEqual(await brokenChains(url), ['postgres changed 5']);
  });

  it('shows a chain that was written anew from its beginning by a head that was kept', async (t) => {
    const { root, url, directory, events } = await makeDelivered(t, 5);
    const kept = events[3]?.hash ?? '';
    const before = new HeadSearch([kept]);
    await verifyRoot(root, url, before);
    assert.deepEqual(before.heads, [{ hash: kept, sequence: 4, chain: events[0]?.id }]);
    const { lines, write } = editJournal(directory);
    let previous = events[0]?.hash ?? '';
    const rewritten = lines.slice(1).map(({ segment, text }) => {
      const line = forgedLine(text, { previous, to: '6.6.6' });
      previous = JSON.parse(line).hash;
      return { segment, text: line };
    });
    write([...lines.slice(0, 1), ...rewritten]);
    const heads = new HeadSearch([kept]);
    assert.deepEqual((await verifyRoot(root, undefined, heads)).breaks, []);
    assert.equal(heads.heads[0]?.sequence, null);
    assert.equal(broken(await verifyRoot(root, url, noHeads())), 'postgres changed 2');
  });

  it('raises no false alarm while a reconciler appends and delivers', async (t) => {
    const url = await createDatabase();
    const { root, directory } = await makeChain(t, 2);
    const log = await openAuditLog({ directory, segmentBytes: 4000 });
    const outbox = createOutbox({ directory, databaseUrl: () => url, batchSize: 4 });
    await outbox.deliver();
    let isDone = false;
    const working = (async () => {
      for (let round = 0; round < 10; round++) {
        await log.append(Array.from({ length: 1 + (round % 3) }, () => sampleEvent()));
        assert.equal((await outbox.deliver()).error, null);
      }
      isDone = true;
    })();
    let looks = 0;
    for (; !isDone; looks++) {
      assert.deepEqual((await verifyRoot(root, url, noHeads())).breaks, []);
      assert.deepEqual(await brokenChains(url), [undefined]);
    }
    await working;
    assert.ok(looks > 1);
    await log.close();
    const note = JSON.parse(readFileSync(join(directory, 'outbox.json'), 'utf8'));
    assert.equal(note.cursor.sequence, log.sequence);
  });
});
