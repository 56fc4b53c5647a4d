import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasMigrations, readPending } from '../../src/lifecycle/schema.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { schemaOptions, writeModule } from './schema-support.ts';

/** No server listens there: what is refused is refused before one is asked. */
const offline = schemaOptions('postgres://127.0.0.1:1/none');

describe('migration files', () => {
  const refusals: readonly [string, Record<string, string | Uint8Array>, RegExp][] = [
    ['a name without number', { 'add.up.sql': '' }, /add\.up\.sql is not named NNNN_name\.up\.sql/],
    ['a name with too few digits', { '001_a.up.sql': '' }, /001_a\.up\.sql is not named/],
    ['a name without direction', { '0001_a.sql': '' }, /0001_a\.sql is not named/],
    ['a misspelt ending', { '0001_a.up.sqll': '' }, /0001_a\.up\.sqll is not named/],
    ['a leftover copy', { '0001_a.up.sql.orig': '' }, /0001_a\.up\.sql\.orig is not named/],
    [
      'a down without an up',
      { '0001_a.up.sql': '', '0002_b.down.sql': '' },
      /0002_b\.down\.sql stands without 0002_b\.up\.sql/,
    ],
    [
      'two with one number',
      { '0001_a.up.sql': '', '0001_b.up.sql': '' },
      /0001_b\.up\.sql has the same number as 0001_a\.up\.sql/,
    ],
    [
      'an unknown directive',
      { '0001_a.up.sql': '\n-- about it\n-- ringlock: no-transactions\nselect 1' },
      /0001_a\.up\.sql:3 says "no-transactions", expected no-transaction, idempotent/,
    ],
    [
      'safe-down in an up file',
      { '0001_a.up.sql': '-- ringlock: safe-down\nselect 1' },
      /0001_a\.up\.sql:1 says "safe-down"/,
    ],
    [
      'a directive below a statement',
      { '0001_a.up.sql': 'select 1;\n-- ringlock: idempotent' },
      /0001_a\.up\.sql:2 has a ringlock line below the first statement/,
    ],
    [
      'a commit of its own',
      { '0001_a.up.sql': 'create table a ();\n\ncommit;\ncreate table b ();' },
      /0001_a\.up\.sql:3 has COMMIT, expected no transaction control/,
    ],
    [
      'a begin in a down file',
      { '0001_a.up.sql': '', '0001_a.down.sql': 'begin; drop table a; end' },
      /0001_a\.down\.sql:1 has BEGIN/,
    ],
    ['other bytes than UTF-8', { '0001_a.up.sql': new Uint8Array([0x2d, 0x2d, 0xff]) }, /UTF-8/],
  ];
  for (const [what, files, message] of refusals) {
    it(`refuses ${what}`, async (t) => {
      const directory = temporaryDirectory(t);
      const module = writeModule(directory, 'orders', '1.2.0', files);
      await assert.rejects(readPending(offline, [module]), {
        code: 'invalid-migration',
        exitCode: 2,
        message: new RegExp(`^orders 1\\.2\\.0: migration .*${message.source}`),
      });
    });
  }

  it('are looked for on disk alone', async (t) => {
    const directory = temporaryDirectory(t);
    const empty = writeModule(directory, 'empty', '1.0.0', { 'README.md': 'none', '.gitkeep': '' });
    const missing = { ...empty, migrations: join(directory, 'missing') };
    assert.equal(await hasMigrations([empty, missing]), false);
    assert.deepEqual(await readPending(offline, [empty, missing]), []);
    const orders = writeModule(directory, 'orders', '1.0.0', { '0001_a.up.sql': 'select 1' });
    assert.equal(await hasMigrations([empty, orders]), true);
    rmSync(orders.migrations, { recursive: true });
    writeFileSync(orders.migrations, 'a file');
    await assert.rejects(hasMigrations([orders]), /is not a directory of migrations/);
  });
});
