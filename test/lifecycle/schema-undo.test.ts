import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { stopOwnPostgres } from '../support/postgres.ts';
import { makePlatform } from './schema-support.ts';

after(stopOwnPostgres);

const first = { '0001_a.up.sql': 'create table a ()', '0001_a.down.sql': 'drop table a' };

describe('undoing an operation', () => {
  it('leaves the schema as it was before a migration failed', async (t) => {
    const { module, up, schema, tables, rows } = await makePlatform(t);
    await up([module('orders', '1.0.0', first)]);
    const before = [await tables(), await rows()];
    const target = [
      module('products', '1.0.0', {
        '0001_p.up.sql': 'create table p (id int primary key)',
        '0001_p.down.sql': 'drop table p',
      }),
      module('orders', '1.1.0', {
        ...first,
        '0002_b.up.sql': 'create table b (p int references p)',
        '0002_b.down.sql': 'drop table b',
        '0003_c.up.sql': 'create table c (); select nonsense',
        '0003_c.down.sql': 'drop table c',
      }),
    ];
    const operation = randomUUID();
    await assert.rejects(up(target, operation), /0003_c\.up\.sql:1/);
    assert.deepEqual(await tables(), ['a', 'b', 'p']);
    const undone = await schema((s) => s.undo(operation, target));
    assert.deepEqual(
      undone.ran.map(({ alias, name }) => `${alias}/${name}`),
      ['orders/0002_b', 'products/0001_p'],
    );
    assert.deepEqual([undone.ahead, undone.neededElsewhere], [[], []]);
    assert.deepEqual([await tables(), await rows()], before);
    const again = await schema((s) => s.undo(operation, target));
    assert.deepEqual([again.ran, again.ahead], [[], []]);
  });

  it('leaves ahead what has no down file, and what was interrupted', async (t) => {
    const { module, up, schema, rows } = await makePlatform(t);
    const target = [
      module('orders', '1.0.0', { '0001_a.up.sql': 'create table a ()' }),
      module('shop', '1.0.0', {
        '0001_s.up.sql': '-- ringlock: no-transaction\ncreate table s (); select nonsense',
        '0001_s.down.sql': 'drop table s',
      }),
    ];
    const operation = randomUUID();
    await assert.rejects(up(target, operation), /SQLSTATE 42703/);
    const { ran, ahead } = await schema((s) => s.undo(operation, target));
    assert.deepEqual(ran, []);
    assert.deepEqual(
      ahead.map(({ alias, reason }) => `${alias}: ${reason}`),
      [
        'shop: it was interrupted (state interrupted)',
        'orders: orders 1.0.0 has no 0001_a.down.sql',
      ],
    );
    assert.deepEqual(await rows(), [
      'orders/0001_a applied {} ahead',
      'shop/0001_s interrupted {} ahead',
    ]);
    assert.deepEqual(await schema((s) => s.ahead()), ahead.toReversed());
  });

  it('takes this ring from what others had applied, and their migrations stay', async (t) => {
    const { module, up, schema, rows, tables } = await makePlatform(t);
    const target = [module('orders', '1.0.0', first)];
    await up(target, undefined, { ring: 'edge' });
    const operation = randomUUID();
    await up(target, operation);
    assert.deepEqual(await rows(), ['orders/0001_a applied {edge,stable}']);
    assert.deepEqual((await schema((s) => s.undo(operation, target))).ran, []);
    assert.deepEqual(await rows(), ['orders/0001_a applied {edge}']);
    assert.deepEqual(await tables(), ['a']);
  });

  it('does not take from another ring what it has come to need meanwhile', async (t) => {
    const { module, up, schema, rows } = await makePlatform(t);
    const target = [module('orders', '1.0.0', first)];
    const operation = randomUUID();
    await up(target, operation);
    await up(target, undefined, { ring: 'edge' });
    const undone = await schema((s) => s.undo(operation, target));
    assert.deepEqual(undone.neededElsewhere, [
      { alias: 'orders', name: '0001_a', rings: ['edge'] },
    ]);
    assert.deepEqual(await rows(), ['orders/0001_a applied {edge}']);
  });

  it('makes ahead again what the operation had found ahead', async (t) => {
    const { module, up, schema, rows } = await makePlatform(t);
    const target = [module('orders', '1.0.0', first)];
    await up(target);
    const [ahead] = (await schema((s) => s.down([], target, 'safe', randomUUID()))).ahead;
    const operation = randomUUID();
    await up(target, operation);
    await schema((s) => s.undo(operation, target));
    assert.deepEqual(await rows(), ['orders/0001_a applied {} ahead']);
    assert.equal((await schema((s) => s.ahead()))[0]?.reason, ahead?.reason);
  });

  it('leaves other operations alone', async (t) => {
    const { module, up, schema, rows } = await makePlatform(t);
    const target = [module('orders', '1.0.0', first)];
    await up(target);
    assert.deepEqual((await schema((s) => s.undo(randomUUID(), target))).ran, []);
    assert.deepEqual(await rows(), ['orders/0001_a applied {stable}']);
  });

  it('reports what it cannot find the directory of', async (t) => {
    const { module, up, schema } = await makePlatform(t);
    const operation = randomUUID();
    await up([module('orders', '1.0.0', first)], operation);
    const { ahead } = await schema((s) => s.undo(operation, []));
    assert.match(ahead[0]?.reason ?? '', /of orders 1\.0\.0 is not there/);
  });
});
