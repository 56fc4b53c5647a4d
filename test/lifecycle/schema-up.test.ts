import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { inspect } from 'node:util';
import pg from 'pg';
import { readPending, withSchema } from '../../src/lifecycle/schema.ts';
import { onEnd } from '../support/cleanup.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { makePlatform, schemaOptions } from './schema-support.ts';

after(stopOwnPostgres);

describe('migrations going up', () => {
  it('runs what is pending, modules in the order given and by number, each once', async (t) => {
    const { url, module, up, query, rows, schema } = await makePlatform(t);
    await query('create table runs (what text)');
    const products = module('products', '1.0.0', {
      '0002_b.up.sql': `insert into runs values ('products 2')`,
      '0001_a.up.sql': `insert into runs values ('products 1')`,
      'README.md': 'not a migration',
    });
    const orders = module('orders', '2.1.0', {
      '0001_a.up.sql': `insert into runs values ('orders 1')`,
    });
    const none = { alias: 'none', version: '1.0.0', migrations: '/not/there' };
    const target = [products, orders, none];
    const pending = [
      { alias: 'products', name: '0001_a', version: '1.0.0', runs: true },
      { alias: 'products', name: '0002_b', version: '1.0.0', runs: true },
      { alias: 'orders', name: '0001_a', version: '2.1.0', runs: true },
    ];
    assert.deepEqual(await readPending(schemaOptions(url), target), pending);
    assert.deepEqual(await schema((s) => s.pendingUp(target)), pending);
    assert.deepEqual(await up(target), ['products/0001_a', 'products/0002_b', 'orders/0001_a']);
    assert.deepEqual(await up(target), []);
    assert.deepEqual(await schema((s) => s.pendingUp(target)), []);
    assert.deepEqual(await readPending(schemaOptions(url), target), []);
    assert.deepEqual(
      (await query<{ what: string }>('select what from runs')).map(({ what }) => what),
      ['products 1', 'products 2', 'orders 1'],
    );
    assert.deepEqual(await rows(), [
      'orders/0001_a applied {stable}',
      'products/0001_a applied {stable}',
      'products/0002_b applied {stable}',
    ]);
  });

  it('refuses an applied migration that was edited, before it runs anything', async (t) => {
    const { module, up, tables } = await makePlatform(t);
    await up([module('orders', '1.0.0', { '0001_a.up.sql': 'create table a ();\n' })]);
    for (const edited of ['create table a (b int);\n', 'create table a ();\r\n']) {
      const next = module('orders', '1.1.0', {
        '0000_new.up.sql': 'create table b ()',
        '0001_a.up.sql': edited,
      });
      await assert.rejects(up([next]), {
        code: 'migration-edited',
        exitCode: 1,
        message:
          /^orders 1\.1\.0: migration 0001_a\.up\.sql was edited after 1\.0\.0 had applied it/,
      });
    }
    assert.deepEqual(await tables(), ['a']);
  });

  it('notes this ring where another has applied already', async (t) => {
    const { url, module, up, rows, schema } = await makePlatform(t);
    const target = [module('orders', '1.0.0', { '0001_a.up.sql': 'create table a ()' })];
    await up(target, undefined, { ring: 'edge' });
    const joins = [{ alias: 'orders', name: '0001_a', version: '1.0.0', runs: false }];
    assert.deepEqual(await readPending(schemaOptions(url), target), joins);
    assert.deepEqual(await schema((s) => s.pendingUp(target)), joins);
    assert.deepEqual(await up(target), []);
    assert.deepEqual(await rows(), ['orders/0001_a applied {edge,stable}']);
    assert.deepEqual(await readPending(schemaOptions(url), target), []);
  });

  it('names module, file, line and SQLSTATE of what fails, and rolls it back whole', async (t) => {
    const { module, up, tables, rows } = await makePlatform(t);
    const broken = module('orders', '1.1.0', {
      '0001_a.up.sql': 'create table a (n int primary key);',
      '0002_b.up.sql': `create table b ();\n-- ä 🙂\ninsert into a values (1);\n  select nonsense from a;`,
    });
    await assert.rejects(up([broken]), {
      code: 'migration-failed',
      exitCode: 1,
      message:
        'orders 1.1.0: migration 0002_b.up.sql:4: column "nonsense" does not exist (SQLSTATE 42703)',
    });
    assert.deepEqual(await tables(), ['a']);
    assert.deepEqual(await rows(), ['orders/0001_a applied {stable}']);
  });

  it('rolls back what a deferred constraint refuses at the commit', async (t) => {
    const { module, up, tables, rows } = await makePlatform(t);
    const broken = module('orders', '1.0.0', {
      '0001_a.up.sql': `create table a (n int primary key);
        create table b (n int references a deferrable initially deferred);
        insert into b values (1)`,
    });
    await assert.rejects(up([broken]), { code: 'migration-failed', message: /SQLSTATE 23503/ });
    assert.deepEqual(await tables(), []);
    assert.deepEqual(await rows(), []);
  });

  it('runs the corrected file after a failure', async (t) => {
    const { module, up, tables } = await makePlatform(t);
    await assert.rejects(up([module('orders', '1.0.0', { '0001_a.up.sql': 'create tabel a ()' })]));
    await up([module('orders', '1.0.1', { '0001_a.up.sql': 'create table a ()' })]);
    assert.deepEqual(await tables(), ['a']);
  });

  it('gives up on a lock that another session holds, and on a statement that takes long', async (t) => {
    const { url, module, up, query, rows } = await makePlatform(t);
    await query('create table busy ()');
    const blocker = new pg.Client({ connectionString: url });
    await blocker.connect();
    onEnd(t, () => blocker.end());
    await blocker.query('begin; lock table busy');
    const target = [module('orders', '1.0.0', { '0001_a.up.sql': 'alter table busy add a int' })];
    await assert.rejects(up(target, undefined, { lockTimeoutMs: 50 }), {
      code: 'migration-failed',
      message: /SQLSTATE 55P03/,
      hint: /Another session holds a lock/,
    });
    await assert.rejects(up(target, undefined, { statementTimeoutMs: 50 }), {
      code: 'migration-failed',
      message: /SQLSTATE 57014/,
      hint: /statement timeout/,
    });
    const outside = module('shop', '1.0.0', {
      '0001_a.up.sql': '-- ringlock: no-transaction, idempotent\nalter table busy add a int',
    });
    await assert.rejects(up([outside], undefined, { lockTimeoutMs: 50 }), /SQLSTATE 55P03/);
    await blocker.query('rollback');
    assert.deepEqual(await up(target), ['orders/0001_a']);
    assert.deepEqual(await rows(), [
      'orders/0001_a applied {stable}',
      'shop/0001_a interrupted {stable}',
    ]);
  });

  it('is not led astray by what a migration sets for its session', async (t) => {
    const { url, module, up, query, tables, rows } = await makePlatform(t);
    await query(`create role app_${new URL(url).pathname.slice(3)}`);
    const target = [
      module('products', '1.0.0', {
        // A dump begins like this.
        '0001_a.up.sql': `select pg_catalog.set_config('search_path', '', false);
          set default_transaction_read_only = on;
          create temp table passing (); create table public.a ()`,
        '0002_b.up.sql': `create temp table passing (); create table b ();
          set role app_${new URL(url).pathname.slice(3)}`,
      }),
      module('orders', '1.0.0', {
        '0001_c.up.sql': '-- ringlock: no-transaction\nset search_path to pg_catalog; select 1',
        '0002_d.up.sql': 'create table d ()',
      }),
    ];
    await up(target);
    assert.deepEqual(await tables(), ['a', 'b', 'd']);
    assert.equal((await rows()).length, 4);
  });

  it('takes an empty file, one with a byte order mark, and one with CRLF', async (t) => {
    const { module, up, tables } = await makePlatform(t);
    await up([
      module('orders', '1.0.0', {
        '0001_a.up.sql': '',
        '0002_b.up.sql': '\ufeffcreate table b ();',
        '0003_c.up.sql':
          '-- ringlock: no-transaction\r\ncreate table c ();\r\ncreate table d ();\r\n',
      }),
    ]);
    assert.deepEqual(await tables(), ['b', 'c', 'd']);
  });
});

describe('a migration without a transaction', () => {
  const head = '-- ringlock: no-transaction\n';

  it('may do what none may do in a transaction, in several statements', async (t) => {
    const { module, up, query, rows } = await makePlatform(t);
    const sql = `drop index concurrently if exists i;\ncreate index concurrently i on a (n);`;
    const table = { '0001_a.up.sql': 'create table a (n int)' };
    await assert.rejects(up([module('orders', '0.9.0', { ...table, '0002_i.up.sql': sql })]), {
      code: 'migration-failed',
      message: /SQLSTATE 25001/,
      hint: 'Start the file with: -- ringlock: no-transaction',
    });
    await up([module('orders', '1.0.0', { ...table, '0002_i.up.sql': head + sql })]);
    assert.equal((await query(`select from pg_indexes where indexname = 'i'`)).length, 1);
    assert.deepEqual(await rows(), [
      'orders/0001_a applied {stable}',
      'orders/0002_i applied {stable}',
    ]);
  });

  it('is interrupted when it fails: told where, and not run again by itself', async (t) => {
    const { module, up, tables, rows, schema } = await makePlatform(t);
    const target = [
      module('orders', '1.0.0', {
        '0001_a.up.sql': `${head}create table a ();\n\ncreate table a ();\ncreate table b ();`,
        '0002_c.up.sql': 'create table c ()',
      }),
    ];
    await assert.rejects(up(target), {
      code: 'migration-failed',
      message: /^orders 1\.0\.0: migration 0001_a\.up\.sql:4: relation "a" already exists/,
    });
    await assert.rejects(up(target), {
      code: 'migration-interrupted',
      exitCode: 1,
      message: /^orders 1\.0\.0: migration 0001_a\.up\.sql was interrupted in operation /,
      hint: /set state = 'applied' where module = 'orders' and name = '0001_a'; or .*delete from/,
    });
    assert.deepEqual(await tables(), ['a']);
    assert.deepEqual(await rows(), ['orders/0001_a interrupted {stable}']);
    await schema((s) => s.resolveMigration('orders', '0001_a', 'applied'));
    assert.deepEqual(await up(target), ['orders/0002_c']);
    await assert.rejects(
      schema((s) => s.resolveMigration('orders', '0001_a', 'not-applied')),
      { code: 'migration-not-interrupted', message: /has the state applied/ },
    );
  });

  it('runs again after a person said that it is not applied', async (t) => {
    const { module, up, query, schema, tables } = await makePlatform(t);
    const target = [
      module('orders', '1.0.0', {
        '0001_a.up.sql': `${head}create table a ();\nselect 1 / (select count(*) from gate)`,
      }),
    ];
    await query('create table gate (n int)');
    await assert.rejects(up(target), /division by zero/);
    await query('insert into gate values (1); drop table a');
    await schema((s) => s.resolveMigration('orders', '0001_a', 'not-applied'));
    assert.deepEqual(await up(target), ['orders/0001_a']);
    assert.deepEqual(await tables(), ['a', 'gate']);
  });

  it('runs again by itself when it is idempotent, corrected or not', async (t) => {
    const { module, up, query, rows } = await makePlatform(t);
    await query('create table gate (n int)');
    const sql = `${head}-- ringlock: idempotent\ncreate table if not exists a ();\n`;
    const first = module('orders', '1.0.0', {
      '0001_a.up.sql': `${sql}select 1 / (select count(*) from gate)`,
    });
    await assert.rejects(up([first]), /division by zero/);
    const corrected = module('orders', '1.0.1', { '0001_a.up.sql': sql });
    assert.deepEqual(await up([corrected]), ['orders/0001_a']);
    assert.deepEqual(await rows(), ['orders/0001_a applied {stable}']);
    assert.deepEqual(await up([corrected]), []);
  });

  it('may not leave a transaction open, nor release the lock', async (t) => {
    const { module, up, rows } = await makePlatform(t);
    const open = module('orders', '1.0.0', { '0001_a.up.sql': `${head}begin; create table a ()` });
    await assert.rejects(up([open]), { code: 'migration-failed', message: /left one open/ });
    const unlocks = module('shop', '1.0.0', {
      '0001_a.up.sql': `${head}select pg_advisory_unlock_all()`,
      '0002_b.up.sql': 'select 1',
    });
    await assert.rejects(up([unlocks]), { code: 'migration-failed', message: /released the lock/ });
    assert.deepEqual(await rows(), [
      'orders/0001_a interrupted {stable}',
      'shop/0001_a interrupted {stable}',
    ]);
  });
});

describe('the table of migrations', () => {
  it('refuses a table of another program by name', async (t) => {
    const { url, module, up, query } = await makePlatform(t);
    await query('create table module_migrations (id int, name text)');
    const target = [module('orders', '1.0.0', { '0001_a.up.sql': 'select 1' })];
    const refusal = {
      code: 'database-tables-taken',
      message:
        /a table public\.module_migrations of another program: it lacks module, checksum, version/,
    };
    await assert.rejects(up(target), refusal);
    await assert.rejects(readPending(schemaOptions(url), target), refusal);
  });

  it('stands in the search_path of the URL', async (t) => {
    const { url, module, query } = await makePlatform(t);
    await query('create schema "Ring lock"; create table public.module_migrations (id int)');
    const other = new URL(url);
    other.searchParams.set('options', '-c search_path="Ring\\ lock"');
    const target = [module('orders', '1.0.0', { '0001_a.up.sql': 'create table a ()' })];
    await withSchema(schemaOptions(other.href), (s) => s.up(target, randomUUID()));
    assert.deepEqual(
      await query(`select tablename from pg_tables where schemaname = 'Ring lock' order by 1`),
      [{ tablename: 'a' }, { tablename: 'module_migrations' }],
    );
  });

  it('tolerates columns of a newer ringlock, and adds those that an older one lacks', async (t) => {
    const { module, up, query, rows } = await makePlatform(t);
    const first = { '0001_a.up.sql': 'select 1' };
    await up([module('orders', '1.0.0', first)]);
    await query(`alter table module_migrations add column later jsonb not null default '{}';
      alter table module_migrations drop column joined, drop column ahead_reason`);
    await up([module('orders', '1.1.0', { ...first, '0002_b.up.sql': 'select 2' })]);
    assert.equal((await rows()).length, 2);
  });
});

describe('an error of the database', () => {
  it('has no password', async (t) => {
    const { url, module } = await makePlatform(t);
    const wrong = new URL(url);
    wrong.password = 'hunter2-secret';
    const right = new URL(url);
    const target = [
      module('orders', '1.0.0', { '0001_a.up.sql': `select '${right.password}'::int` }),
    ];
    const up = (to: URL) => withSchema(schemaOptions(to.href), (s) => s.up(target, randomUUID()));
    for (const to of [wrong, right]) {
      const error = await up(to).then(
        () => assert.fail(),
        (thrown: Error) => thrown,
      );
      const text = inspect(error, { depth: 9 });
      assert.doesNotMatch(text, new RegExp(`hunter2|${right.password}`));
      if (to === right) assert.match(error.message, /invalid input syntax .*\*\*\*.*22P02/);
    }
  });

  it('is told as it is when what is done under the lock throws', async (t) => {
    const { schema } = await makePlatform(t);
    const own = new TypeError('of the caller');
    await assert.rejects(
      schema(() => Promise.reject(own)),
      (error) => error === own,
    );
  });
});
