import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { SchemaDown } from '../../src/lifecycle/schema.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { makePlatform, type Platform } from './schema-support.ts';

after(stopOwnPostgres);

const safe = '-- ringlock: safe-down\n';
const first = { '0001_a.up.sql': 'create table a ()', '0001_a.down.sql': 'drop table a' };
const second = {
  '0002_b.up.sql': 'create table b ()',
  '0002_b.down.sql': `${safe}drop table b`,
};
const third = { '0003_c.up.sql': 'create table c ()', '0003_c.down.sql': `${safe}drop table c` };

/** What is compared: without times. */
const told = ({ ran, ahead, neededElsewhere, failed }: SchemaDown) => ({
  ran: ran.map((step) => `${step.direction} ${step.alias}/${step.name} by ${step.version}`),
  ahead: ahead.map(({ alias, name, reason }) => `${alias}/${name}: ${reason}`),
  neededElsewhere: neededElsewhere.map(({ alias, name, rings }) => `${alias}/${name}: ${rings}`),
  ...(failed !== undefined && { failed: failed.message }),
});

const twoVersions = ({ module }: Platform) => ({
  older: module('orders', '1.0.0', first),
  newer: module('orders', '1.1.0', { ...first, ...second, ...third }),
});

describe('migrations going down', () => {
  it('runs what is safe-down, the last first, each with its row in one transaction', async (t) => {
    const platform = await makePlatform(t);
    const { up, schema, tables, rows } = platform;
    const { older, newer } = twoVersions(platform);
    await up([newer]);
    const plan = await schema((s) => s.planDown([older], [newer], 'safe'));
    assert.deepEqual(plan, {
      run: [
        { alias: 'orders', name: '0003_c', version: '1.1.0' },
        { alias: 'orders', name: '0002_b', version: '1.1.0' },
      ],
      ahead: [],
      neededElsewhere: [],
    });
    assert.deepEqual(await tables(), ['a', 'b', 'c']);
    assert.deepEqual(told(await schema((s) => s.down([older], [newer], 'safe', randomUUID()))), {
      ran: ['down orders/0003_c by 1.1.0', 'down orders/0002_b by 1.1.0'],
      ahead: [],
      neededElsewhere: [],
    });
    assert.deepEqual(await tables(), ['a']);
    assert.deepEqual(await rows(), ['orders/0001_a applied {stable}']);
    assert.deepEqual((await schema((s) => s.down([older], [newer], 'safe', randomUUID()))).ran, []);
    assert.deepEqual(await up([newer]), ['orders/0002_b', 'orders/0003_c']);
  });

  it('leaves the rest ahead, and clears that when the version comes again', async (t) => {
    const { module, up, schema, tables, rows, query } = await makePlatform(t);
    const newer = module('orders', '1.1.0', { ...first, ...second });
    await up([newer]);
    // The module is removed: 0001 is not safe-down.
    const down = await schema((s) => s.down([], [newer], 'safe', randomUUID()));
    assert.deepEqual(told(down), {
      ran: ['down orders/0002_b by 1.1.0'],
      ahead: ['orders/0001_a: 0001_a.down.sql is not marked safe-down'],
      neededElsewhere: [],
    });
    assert.deepEqual(await tables(), ['a']);
    assert.deepEqual(await rows(), ['orders/0001_a applied {} ahead']);
    assert.deepEqual(await schema((s) => s.ahead()), down.ahead);
    assert.match(down.ahead[0]?.since ?? '', /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/);
    assert.deepEqual(await schema((s) => s.pendingUp([newer])), [
      { alias: 'orders', name: '0001_a', version: '1.1.0', runs: false },
      { alias: 'orders', name: '0002_b', version: '1.1.0', runs: true },
    ]);
    await query('insert into a default values');
    assert.deepEqual(await up([newer]), ['orders/0002_b']);
    assert.deepEqual(await schema((s) => s.ahead()), []);
    assert.equal((await query('select from a')).length, 1);
  });

  it('keeps the time since when it is ahead', async (t) => {
    const { module, up, schema } = await makePlatform(t);
    const newer = module('orders', '1.0.0', first);
    await up([newer]);
    const once = await schema((s) => s.down([], [newer], 'safe', randomUUID()));
    assert.deepEqual(await schema((s) => s.down([], [newer], 'safe', randomUUID())), once);
  });

  it('runs every step for a person, dependents first', async (t) => {
    const { module, up, schema, tables, rows } = await makePlatform(t);
    const products = module('products', '1.0.0', {
      '0001_p.up.sql': 'create table p (id int primary key)',
      '0001_p.down.sql': 'drop table p',
    });
    const orders = module('orders', '1.0.0', {
      '0001_o.up.sql': 'create table o (p int references p)',
      '0001_o.down.sql': 'drop table o',
    });
    await up([products, orders]);
    assert.deepEqual(
      told(await schema((s) => s.down([], [orders, products], 'all', randomUUID()))).ran,
      ['down orders/0001_o by 1.0.0', 'down products/0001_p by 1.0.0'],
    );
    assert.deepEqual([await tables(), await rows()], [[], []]);
  });

  it('leaves to other rings what they need, and runs it when the last one leaves', async (t) => {
    const platform = await makePlatform(t);
    const { up, schema, tables, rows } = platform;
    const { older, newer } = twoVersions(platform);
    await up([newer], undefined, { ring: 'edge' });
    await up([newer]);
    const plan = await schema((s) => s.planDown([older], [newer], 'all'));
    assert.deepEqual(plan.neededElsewhere, [
      { alias: 'orders', name: '0003_c', rings: ['edge'] },
      { alias: 'orders', name: '0002_b', rings: ['edge'] },
    ]);
    assert.deepEqual(told(await schema((s) => s.down([older], [newer], 'all', randomUUID()))), {
      ran: [],
      ahead: [],
      neededElsewhere: ['orders/0003_c: edge', 'orders/0002_b: edge'],
    });
    assert.deepEqual(await rows(), [
      'orders/0001_a applied {edge,stable}',
      'orders/0002_b applied {edge}',
      'orders/0003_c applied {edge}',
    ]);
    assert.deepEqual(await schema((s) => s.ahead()), []);
    const last = await schema((s) => s.down([older], [newer], 'safe', randomUUID()), {
      ring: 'edge',
    });
    assert.deepEqual(told(last).ran, [
      'down orders/0003_c by 1.1.0',
      'down orders/0002_b by 1.1.0',
    ]);
    assert.deepEqual(await tables(), ['a']);
    assert.deepEqual(await rows(), ['orders/0001_a applied {edge,stable}']);
  });

  const reasons: readonly [string, Record<string, string>, Record<string, string>, RegExp][] = [
    [
      'a missing down file',
      { '0002_b.up.sql': 'create table b ()' },
      {},
      /1\.1\.0 has no 0002_b\.down\.sql$/,
    ],
    [
      'a later step that stays',
      { ...second, '0003_c.up.sql': 'create table c ()' },
      {},
      /0003_c, which came after it, stays$/,
    ],
    [
      'another up file than was applied',
      second,
      { '0002_b.up.sql': 'create table b (n int)' },
      /0002_b\.up\.sql of orders 1\.1\.0 is not what was applied$/,
    ],
  ];
  for (const [what, files, edits, reason] of reasons) {
    it(`leaves a step ahead because of ${what}`, async (t) => {
      const { module, up, schema, tables } = await makePlatform(t);
      const older = module('orders', '1.0.0', first);
      const newer = module('orders', '1.1.0', { ...first, ...files });
      await up([newer]);
      const before = await tables();
      module('orders', '1.1.0', edits);
      const { ran, ahead } = await schema((s) => s.down([older], [newer], 'all', randomUUID()));
      assert.deepEqual(ran, []);
      assert.match(ahead.find(({ name }) => name === '0002_b')?.reason ?? '', reason);
      assert.deepEqual(await tables(), before);
    });
  }

  it('leaves all ahead when the directory of the version is gone', async (t) => {
    const platform = await makePlatform(t);
    const { up, schema, tables } = platform;
    const { older, newer } = twoVersions(platform);
    await up([newer]);
    rmSync(newer.migrations, { recursive: true });
    const { ran, ahead } = await schema((s) => s.down([older], [newer], 'all', randomUUID()));
    assert.deepEqual(ran, []);
    assert.deepEqual(
      ahead.map(({ name, reason }) => `${name}: ${reason}`),
      ['0003_c', '0002_b'].map((n) => `${n}: ${newer.migrations} of orders 1.1.0 is not there`),
    );
    assert.deepEqual(await tables(), ['a', 'b', 'c']);
  });

  it('stops at a step that fails, rolled back, and tells it', async (t) => {
    const { module, up, schema, tables, rows } = await makePlatform(t);
    const older = module('orders', '1.0.0', first);
    const newer = module('orders', '1.1.0', {
      ...first,
      ...second,
      '0003_c.up.sql': 'create table c ()',
      '0003_c.down.sql': `${safe}drop table c;\ndrop table cc;`,
      '0004_d.up.sql': 'create table d ()',
      '0004_d.down.sql': `${safe}drop table d`,
    });
    await up([newer]);
    const message =
      'orders 1.1.0: migration 0003_c.down.sql: table "cc" does not exist (SQLSTATE 42P01)';
    assert.deepEqual(told(await schema((s) => s.down([older], [newer], 'safe', randomUUID()))), {
      ran: ['down orders/0004_d by 1.1.0'],
      ahead: [
        `orders/0003_c: its down step failed: ${message}`,
        'orders/0002_b: the down step of orders/0003_c failed before',
      ],
      neededElsewhere: [],
      failed: message,
    });
    assert.deepEqual(await tables(), ['a', 'b', 'c']);
    assert.deepEqual((await rows()).slice(1), [
      'orders/0002_b applied {} ahead',
      'orders/0003_c applied {} ahead',
    ]);
    // The mended file of the next version's store does what is left.
    module('orders', '1.1.0', { '0003_c.down.sql': `${safe}drop table c` });
    assert.equal(
      (await schema((s) => s.down([older], [newer], 'safe', randomUUID()))).ran.length,
      2,
    );
    assert.deepEqual(await tables(), ['a']);
  });

  it('runs a down file without a transaction, and refuses to repeat one that was cut off', async (t) => {
    const { module, up, schema, query, rows } = await makePlatform(t);
    const outside = `-- ringlock: no-transaction, safe-down\n`;
    const files = (down: string) => ({
      '0001_a.up.sql': 'create table a (n int)',
      '0002_i.up.sql': 'create index i on a (n)',
      '0002_i.down.sql': down,
    });
    const older = module('orders', '1.0.0', { '0001_a.up.sql': 'create table a (n int)' });
    const wrong = module('orders', '1.1.0', files(`${outside}drop index concurrently j`));
    await up([wrong]);
    const failed = await schema((s) => s.down([older], [wrong], 'safe', randomUUID()));
    assert.match(failed.failed?.message ?? '', /0002_i\.down\.sql:2: index "j" does not exist/);
    assert.equal((await rows())[1], 'orders/0002_i revert-interrupted {} ahead');
    await assert.rejects(up([wrong]), {
      code: 'migration-interrupted',
      message: /0002_i\.down\.sql/,
    });
    const again = module('orders', '1.1.1', files(`${outside}drop index concurrently i`));
    assert.match(
      (await schema((s) => s.down([older], [again], 'all', randomUUID()))).ahead[0]?.reason ?? '',
      /it was interrupted/,
    );
    const idempotent = module(
      'orders',
      '1.1.2',
      files(`${outside}-- ringlock: idempotent\ndrop index concurrently if exists i`),
    );
    const done = await schema((s) => s.down([older], [idempotent], 'safe', randomUUID()));
    assert.deepEqual(told(done).ran, ['down orders/0002_i by 1.1.2']);
    assert.equal((await query(`select from pg_indexes where indexname = 'i'`)).length, 0);
    assert.equal((await rows()).length, 1);
  });

  it('runs nothing on an upgrade to a version with fewer files', async (t) => {
    const { module, up, schema, rows } = await makePlatform(t);
    const older = module('orders', '1.0.0', { ...first, ...second });
    const newer = module('orders', '2.0.0', first);
    await up([older]);
    await up([newer]);
    const nothing = { ran: [], ahead: [], neededElsewhere: [] };
    const down = await schema((s) => s.down([newer], [older], 'all', randomUUID()));
    assert.deepEqual(told(down), nothing);
    assert.deepEqual((await rows())[1], 'orders/0002_b applied {stable}');
  });

  it('does not run what belongs to a version that another ring alone has had', async (t) => {
    const platform = await makePlatform(t);
    const { module, up, schema, rows } = platform;
    const { older, newer } = twoVersions(platform);
    await up([older]);
    await up([newer], undefined, { ring: 'edge' });
    const other = module('orders', '1.0.5', first);
    const nothing = { ran: [], ahead: [], neededElsewhere: [] };
    assert.deepEqual(
      told(await schema((s) => s.down([older], [other], 'all', randomUUID()))),
      nothing,
    );
    assert.equal((await rows()).length, 3);
  });
});

describe('the sample platform', () => {
  it('goes up, down and up again', async (t) => {
    const { up, schema, tables } = await makePlatform(t);
    const modules = ['Products', 'Orders', 'StoreShopify', 'Communications', 'MobileApp'].map(
      (directory) => ({
        alias: directory.toLowerCase(),
        version: '1.0.0',
        migrations: join(import.meta.dirname, '../../modules', directory, 'migrations'),
      }),
    );
    assert.equal((await up(modules)).length, 7);
    const before = await tables();
    const down = await schema((s) => s.down([], modules.toReversed(), 'safe', randomUUID()));
    assert.equal(down.failed, undefined);
    assert.deepEqual(told(down).ran, [
      'down mobileapp/0001_create_devices by 1.0.0',
      'down orders/0002_index_open_orders by 1.0.0',
      'down products/0002_add_price_tiers by 1.0.0',
    ]);
    assert.equal(
      (await schema((s) => s.down([], modules.toReversed(), 'all', randomUUID()))).ran.length,
      4,
    );
    assert.deepEqual(await tables(), []);
    assert.equal((await up(modules)).length, 7);
    assert.deepEqual(await tables(), before);
  });
});
