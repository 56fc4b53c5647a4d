import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bump, done, lockOf, locksOf, ringlock, threeRings } from './three-rings.ts';

const promote = (alias: string, from = 'canary', to = 'edge') =>
  ['ring', 'promote', alias, '--from', from, '--to', to] as const;

const rings = threeRings();

describe('RingPromotion', () => {
  test('ring promote changes the target ring’s lock and no other file', async () => {
    const { platform } = rings();
    bump(platform, 'Products', '1.1.0');
    await done(platform, 'lock');
    platform.commit('Products 1.1.0');
    const before = locksOf(platform);
    await done(platform, ...promote('products'));
    const after = locksOf(platform);
    assert.deepEqual({ ...after, edge: '' }, { ...before, edge: '' });
    assert.notEqual(after.edge, before.edge);
    assert.equal(platform.git('status', '--porcelain').trim(), 'M manifests/edge.lock.json');
  });

  test('the target gets the source’s entry as it stands, and keeps every other of its own', async () => {
    const { platform } = rings();
    const { modules: now } = lockOf(platform, 'edge');
    const { modules: before } = JSON.parse(platform.git('show', 'HEAD:manifests/edge.lock.json'));
    const { products } = lockOf(platform, 'canary').modules;
    assert.equal(products?.version, '1.1.0');
    assert.deepEqual(now, { ...before, products });
  });

  test('a second promotion of the same version changes nothing', async () => {
    const { platform } = rings();
    platform.commit('Promote products to edge');
    const before = locksOf(platform);
    await done(platform, ...promote('products'));
    assert.deepEqual(locksOf(platform), before);
  });

  test('a promotion that skips a ring is refused, and nothing is written', async () => {
    const { platform } = rings();
    const { code, output } = await ringlock(platform, ...promote('products', 'canary', 'stable'));
    assert.equal(code, 1);
    assert.match(output, /promotes from edge/);
    assert.equal(platform.git('status', '--porcelain'), '');
  });

  test('a module whose dependency the target has too old is refused, and nothing is written', async () => {
    const { platform } = rings();
    bump(platform, 'Products', '1.2.0');
    platform.change('Orders');
    platform.setVersion('Orders', '1.1.0', { dependencies: { products: '^1.2.0' } });
    await done(platform, 'lock');
    platform.commit('Orders needs Products 1.2.0');
    const { code, output } = await ringlock(platform, ...promote('orders'));
    assert.equal(code, 1);
    assert.match(output, /products \^1\.2\.0.*1\.1\.0/);
    assert.equal(platform.git('status', '--porcelain'), '');
  });

  test('git revert of a promotion puts the target ring back, and leaves the source alone', async () => {
    const { platform, served } = rings();
    await done(platform, ...promote('products'));
    platform.commit('Promote products 1.2.0 to edge');
    const { canary, stable } = locksOf(platform);
    assert.equal((await served('edge')).edge['products'], '1.2.0');
    platform.git('revert', '--no-edit', 'HEAD');
    assert.equal((await served('edge')).edge['products'], '1.1.0');
    assert.deepEqual({ ...locksOf(platform), edge: '' }, { canary, stable, edge: '' });
  });
});
