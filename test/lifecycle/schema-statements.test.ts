import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import {
  findTransactionControl,
  splitStatements,
} from '../../src/lifecycle/migration-statements.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';

after(stopOwnPostgres);

const texts = (sql: string) => splitStatements(sql).map(({ text }) => text);

describe('SQL cut into statements', () => {
  const cases: readonly [string, string, number][] = [
    ['strings and quoted names', `select ';' || 'it''s;' as "a;""b;"; select 2`, 2],
    ['escape strings', `select e'\\';', E'a''\\\\'; select 2`, 2],
    ['comments that nest', `/* ; /* ; */ ; */ select 1 -- ; \n; -- ;\n`, 1],
    ['dollar quotes', `do $$ begin perform ';'; end $$; do $a$ begin perform $$;$$; end $a$`, 2],
    ['names with dollars', `select 1 as a$b$c; select 2 as d$b$`, 2],
    [
      'a rule',
      `create table t (); create rule r as on insert to t do also (select 1; select 2)`,
      2,
    ],
    [
      'a function of the standard',
      `create or replace function f() returns int language sql begin atomic
         select case when true then 1 else 2 end; select 3; end; select 4`,
      2,
    ],
    ['a table named like a word of it', `create table begin_atomic (function int); select 1`, 2],
    ['nothing at all', ` ;; -- nothing\n /* */ ;`, 0],
    ['a quote that nothing closes', `select 1; select 'a; b`, 2],
  ];
  for (const [what, sql, count] of cases) {
    it(`knows ${what}`, () => assert.equal(splitStatements(sql).length, count, sql));
  }

  it('gives each statement and where it stands', () => {
    const sql = `-- first\nselect 1;\n\n  select 'ä';\n`;
    assert.deepEqual(
      splitStatements(sql).map(({ text, offset }) => [text, sql.slice(offset, offset + 6)]),
      [
        ['select 1', 'select'],
        [`select 'ä'`, 'select'],
      ],
    );
  });

  it('loses nothing, whatever pieces are put together', () => {
    const piece = fc.constantFrom(
      'select 1',
      `select ';'`,
      `select $x$;'$x$`,
      `select "a;b"`,
      `select e'\\';'`,
      `select (1) -- ;`,
      `select /* ; /* */ ; */ 2`,
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const sql = pieces.join('\n;\n');
        // The comment at a statement's end belongs to it.
        assert.deepEqual(texts(sql), pieces);
      }),
    );
  });

  it('cuts as Postgres itself does', async () => {
    const client = new pg.Client({ connectionString: await createDatabase() });
    await client.connect();
    try {
      for (const [what, sql, count] of cases) {
        if (/closes|at all/.test(what)) continue;
        const results: unknown = await client.query(sql);
        assert.equal(Array.isArray(results) ? results.length : 1, count, what);
      }
    } finally {
      await client.end();
    }
  });

  it('finds what would end a transaction, and nothing else', () => {
    assert.deepEqual(findTransactionControl('select 1;\nCommit work'), {
      words: 'COMMIT',
      line: 2,
    });
    for (const sql of ['begin', 'start transaction', 'end', 'abort', 'rollback', 'rollback work']) {
      assert.ok(findTransactionControl(sql), sql);
    }
    assert.ok(findTransactionControl(`prepare transaction 'x'`));
    for (const sql of [
      'savepoint a; rollback to a; rollback work to savepoint a; release a',
      'do $$ begin null; end $$',
      'prepare begin_it as select 1',
      `create function f() returns int begin atomic select 1; end; select 'commit'`,
    ]) {
      assert.equal(findTransactionControl(sql), undefined, sql);
    }
  });
});
