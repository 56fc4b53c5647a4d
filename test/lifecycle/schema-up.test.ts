import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { readPending } from '../../src/lifecycle/schema.ts';
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
});
