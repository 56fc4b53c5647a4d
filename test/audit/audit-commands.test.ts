import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import initSqlJs from 'sql.js';
import { HeadSearch } from '../../src/audit/chain-report.ts';
import { createOutbox } from '../../src/audit/outbox.ts';
import { writeSqlite } from '../../src/audit/sqlite.ts';
import { verifyExport } from '../../src/audit/verify-export.ts';
import { verifyRoot } from '../../src/audit/verify-root.ts';
import { editJournal, makeChain } from '../support/audit-chain.ts';
import { sampleDigest } from '../support/audit-event.ts';
import { cliPath, runCli } from '../support/cli.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';

after(stopOwnPostgres);

const nasty = [
  ...['=HYPERLINK("http://evil.example";"x")', '+1', '-1', '@SUM(A1)', '\tx', '\rx'],
  ...['a "quoted", one', 'two\r\nlines', 'two\nlines', 'plain', "'apostrophe", 'naïve 日本'],
];

/** A root whose actors are anything a commit's author may be called, delivered. */
async function makeRoot(t: TestContext, count = nasty.length) {
  const url = await createDatabase();
  const chain = await makeChain(t, count, (index) => ({
    actor: { name: nasty[index] ?? 'plain', commit: 'c'.repeat(40) },
    module: index % 2 === 0 ? 'orders' : 'products',
    outcome: index % 3 === 0 ? 'succeeded' : 'failed',
    detail: { message: nasty[index] ?? null },
  }));
  const outbox = createOutbox({ directory: chain.directory, databaseUrl: () => url });
  assert.equal((await outbox.deliver()).error, null);
  await writeSqlite(chain.directory);
  return { ...chain, url };
}

/** Cells of a CSV text, read as RFC 4180 says. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  for (const [, quoted, plain, end] of text.matchAll(
    /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g,
  )) {
    if (rows.length === 0) rows.push([]);
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? '');
    if (end === '\r\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

describe('audit export', () => {
  it('writes the same lines from the root and from Postgres, which prove themselves', async (t) => {
    const { root, url, events } = await makeRoot(t);
    const fromRoot = await runCli(root, ['audit', 'export', '--root', '.']);
    assert.equal(fromRoot.code, 0, fromRoot.stderr);
    const fromDatabase = await runCli(root, ['audit', 'export'], { DATABASE_URL: url });
    const parse = ({ stdout }: { stdout: string }) =>
      stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    assert.deepEqual(parse(fromDatabase), parse(fromRoot));
    assert.deepEqual(
      parse(fromRoot).map(({ hash }) => hash),
      events.map(({ hash }) => hash),
    );
    assert.deepEqual(Object.keys(parse(fromRoot)[0]).slice(0, 5), [
      'chain',
      'sequence',
      'copy',
      'id',
      'time',
    ]);
    const file = join(root, 'export.jsonl');
    writeFileSync(file, fromDatabase.stdout);
    const proof = await runCli(root, [
      'audit',
      'verify',
      '--file',
      file,
      '--expect-head',
      events.at(-1)?.hash ?? '',
    ]);
    assert.equal(proof.code, 0, proof.stdout + proof.stderr);
    const lines = fromDatabase.stdout.split('\n');
    for (const [attack, changed] of Object.entries({
      'changed 3': lines.with(2, lines[2]?.replace('"edge"', '"stable"') ?? ''),
      'missing 4': lines.toSpliced(3, 1),
      'duplicated 5': lines.toSpliced(4, 0, lines[4] ?? ''),
      'reordered 7': lines.with(5, lines[6] ?? '').with(6, lines[5] ?? ''),
    })) {
      writeFileSync(file, changed.join('\n'));
      const [report] = await verifyExport(file, 'beginning', new HeadSearch([]));
      const [found] = report?.breaks ?? [];
      assert.equal(`${found?.kind} ${found?.sequence}`, attack);
    }
  });

  it('writes CSV that reads back, and that a spreadsheet computes nothing of', async (t) => {
    const { root, events } = await makeRoot(t);
    const { stdout } = await runCli(root, ['audit', 'export', '--format', 'csv', '--root', '.']);
    const [head = [], ...rows] = readCsv(stdout);
    assert.equal(rows.length, events.length);
    const column = (name: string) => rows.map((row) => row[head.indexOf(name)] ?? '');
    const guarded = nasty.map((text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text));
    assert.deepEqual(column('actor'), guarded);
    assert.deepEqual(
      column('detail').map((text) => JSON.parse(text).message),
      nasty,
    );
    assert.deepEqual(
      column('hash'),
      events.map(({ hash }) => hash),
    );
    for (const cell of rows.flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r]/);
  });

  it('writes what is asked for, whole or not at all, and ends quietly when nobody reads on', async (t) => {
    const { root, url, events, directory } = await makeRoot(t);
    const args = ['audit', 'export', '--module', 'orders', '--outcome', 'succeeded', '--json'];
    const filtered = await runCli(root, [...args, '--root', '.', '--output', 'some.jsonl']);
    assert.equal(JSON.parse(filtered.stdout).events, 2, filtered.stderr);
    const same = await runCli(root, [...args, '--database-url', url, '--output', 'same.jsonl']);
    assert.equal(JSON.parse(same.stdout).events, 2);
    assert.equal((await runCli(root, ['audit', 'verify', '--file', 'some.jsonl'])).code, 1);
    assert.equal(
      (await runCli(root, ['audit', 'verify', '--file', 'some.jsonl', '--partial'])).code,
      0,
    );
    const until = events[0]?.time ?? '';
    const none = await runCli(root, ['audit', 'export', '--root', '.', '--until', until]);
    assert.deepEqual([none.code, none.stdout], [0, '']);
    assert.equal(
      (await runCli(root, ['audit', 'export', '--root', '.', '--since', 'soon'])).code,
      2,
    );

    const { lines, write } = editJournal(directory);
    write(lines.with(9, { segment: lines[9]?.segment ?? '', text: '{}' }));
    const broken = await runCli(root, ['audit', 'export', '--root', '.', '--output', 'all.jsonl']);
    assert.equal(broken.code, 3);
    assert.match(broken.stderr, /journal-\d+\.jsonl:\d+: event 10/);
    assert.ok(!existsSync(join(root, 'all.jsonl')));
    assert.deepEqual(
      readdirSync(root).filter((name) => name.endsWith('.tmp')),
      [],
    );

    for (const command of ['export', 'verify']) {
      const child = spawn(process.execPath, [cliPath, 'audit', command, '--database-url', url], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child.stdout.destroy();
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (chunk) => (said += chunk));
      const [code] = await once(child, 'close');
      assert.deepEqual([code, said], [0, ''], command);
    }
  });
});

describe('audit verify', () => {
  it('prints the head of what is unbroken, and the first event that is not, in three places', async (t) => {
    const { root, url, directory, events } = await makeRoot(t, 6);
    const head = events.at(-1)?.hash ?? '';
    const whole = await runCli(root, ['audit', 'verify', '--root', '.', '--database-url', url]);
    assert.equal(whole.code, 0, whole.stdout + whole.stderr);
    assert.match(whole.stdout, new RegExp(`events 1 to 6, unbroken\n  head {6}${head}`));
    assert.match(
      whole.stdout,
      /postgres {2}6 the same, 0 not sent yet\n {2}sqlite {4}the latest 6 the same/,
    );

    const { Database } = await initSqlJs();
    const path = join(directory, 'audit.sqlite');
    const original = readFileSync(path);
    for (const [sql, kind] of [
      [`update audit_events set actor = 'Mallory' where sequence = 2`, 'sqlite changed 2'],
      ['delete from audit_events where sequence = 3', 'sqlite missing 3'],
      ['delete from audit_events where sequence = 1', 'sqlite missing 1'],
      ['delete from audit_events where sequence = 6', 'sqlite missing 6'],
    ] as const) {
      const database = new Database(Uint8Array.from(original));
      database.run(sql);
      writeFileSync(path, database.export());
      database.close();
      const [found] = (await verifyRoot(root, undefined, new HeadSearch([]))).breaks;
      assert.equal(`${found?.where} ${found?.kind} ${found?.sequence}`, kind);
    }
    writeFileSync(path, original.subarray(0, 5000));
    assert.match(
      (await runCli(root, ['audit', 'verify', '--root', '.'])).stdout,
      /the file cannot be read/,
    );
    rmSync(path);

    await query(url, `update audit_events set digest = $1 where sequence = 5`, [sampleDigest('6')]);
    const { lines, write } = editJournal(directory);
    const text = lines[3]?.text.replace('"edge"', '"stable"') ?? '';
    write(lines.with(3, { segment: lines[3]?.segment ?? '', text }));
    const broken = await runCli(root, ['audit', 'verify', '--root', '.', '--database-url', url]);
    assert.equal(broken.code, 1);
    const line = editJournal(directory).lines.filter(
      ({ segment }) => segment === lines[3]?.segment,
    );
    const place = `${lines[3]?.segment}:${line.findIndex((one) => one.text === text) + 1}`;
    assert.match(broken.stdout, /events 1 to 3, BROKEN/);
    assert.match(
      broken.stdout,
      new RegExp(
        `changed  .*${place}: event 4 .* differs from its hash\n    expected  ${events[3]?.hash}`,
      ),
    );
    const alone = await runCli(root, ['audit', 'verify'], { DATABASE_URL: url });
    assert.equal(alone.code, 1);
    assert.match(alone.stdout, /changed {2}postgres audit_events: event 5/);
  });

  it('ends with 1 for a head that is not in the chain, 2 for bad usage, 3 without a database', async (t) => {
    const { root, url, events } = await makeRoot(t, 4);
    const run = (...args: string[]) => runCli(root, ['audit', 'verify', ...args]);
    const kept = events[1]?.hash ?? '';
    assert.equal((await run('--root', '.', '--expect-head', kept)).code, 0);
    const other = await run('--root', '.', '--expect-head', 'a'.repeat(64));
    assert.equal(other.code, 1);
    assert.match(other.stdout, /head a{64} is in no chain/);
    assert.equal((await run('--root', '.', '--expect-head', 'abc')).code, 2);
    assert.equal((await run()).code, 2);
    assert.equal((await run('--root', './nowhere')).code, 2);
    assert.equal((await run('--database-url', url, '--ring', 'nowhere')).code, 2);
    assert.equal((await run('--database-url', `${url}_missing`)).code, 3);
    assert.equal((await run('--database-url', await createDatabase())).code, 3);
  });
});

describe('audit resend', () => {
  it('adds what a restored database has lost, and touches nothing else', async (t) => {
    const { root, url } = await makeRoot(t, 6);
    await query(url, 'delete from audit_events where sequence in (2, 3, 6)');
    const verify = () => runCli(root, ['audit', 'verify', '--root', '.', '--database-url', url]);
    const lossy = await verify();
    assert.equal(lossy.code, 1);
    assert.match(lossy.stdout, /missing {2}postgres audit_events: events 2 to 3 are missing/);
    const resend = await runCli(root, ['audit', 'resend', '--root', '.', '--json'], {
      DATABASE_URL: url,
    });
    assert.deepEqual(JSON.parse(resend.stdout), { events: 6, added: 3 }, resend.stderr);
    assert.equal((await verify()).code, 0);
    assert.deepEqual(await query(url, 'select count(*)::int as n from audit_events'), [{ n: 6 }]);
    assert.equal((await runCli(root, ['audit', 'resend', '--root', '.'])).code, 2);
  });
});
