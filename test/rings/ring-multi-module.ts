import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resolveModule } from '../../src/index.ts';
import { errorOf } from '../support/error-of.ts';
import {
  add,
  bump,
  done,
  experimentalFeature,
  lockOf,
  ringNames,
  threeRings,
} from './three-rings.ts';

const alias = experimentalFeature.alias;

const rings = threeRings();

describe('RingMultiModule', () => {
  test('a module added to canary is in canary’s lock and in no other', async () => {
    const { platform } = rings();
    add(platform, experimentalFeature);
    await done(platform, 'lock');
    platform.commit('Add experimental-feature');
    assert.deepEqual(
      ringNames.filter((ring) => alias in lockOf(platform, ring).modules),
      ['canary'],
    );
  });

  test('canary’s application loads it, and those of stable and edge have no such module', async () => {
    const { served, root } = rings();
    const versions = await served(...ringNames);
    assert.equal(versions.canary[alias], '0.1.0');
    assert.equal((await resolveModule(root('canary'), alias)).version, '0.1.0');
    for (const ring of ['stable', 'edge'] as const) {
      assert.equal((await errorOf(resolveModule(root(ring), alias))).code, 'unknown-module');
    }
  });

  test('rings run different versions of several modules at once, each loaded after what it needs', async () => {
    const { platform, served, load } = rings();
    bump(platform, 'Products', '1.1.0');
    platform.change('Orders');
    platform.setVersion('Orders', '1.1.0', { dependencies: { products: '^1.1.0' } });
    await done(platform, 'lock');
    platform.commit('Orders needs Products 1.1.0');
    const { edge, canary } = await served('edge', 'canary');
    assert.deepEqual([edge['products'], edge['orders']], ['1.0.0', '1.0.0']);
    assert.deepEqual([canary['products'], canary['orders']], ['1.1.0', '1.1.0']);
    const order = (await load('canary')).modules.map((module) => module.alias);
    assert.ok(order.indexOf('products') < order.indexOf('orders'));
    assert.ok(order.indexOf('orders') < order.indexOf(alias));
  });

  test('promoted alone it is in edge as in canary, beside edge’s own versions, and not in stable', async () => {
    const { platform, served, load } = rings();
    await done(platform, 'ring', 'promote', alias, '--from', 'canary', '--to', 'edge');
    platform.commit('Promote experimental-feature to edge');
    const { stable, edge } = await served('stable', 'edge');
    assert.deepEqual(edge, { ...stable, [alias]: '0.1.0' });
    const [inEdge, inCanary] = await Promise.all(
      (['edge', 'canary'] as const).map(async (ring) =>
        (await load(ring)).modules.find((module) => module.alias === alias),
      ),
    );
    assert.equal(inEdge?.sha256, inCanary?.sha256);
  });

  test('taken out of canary it stays where it was promoted to', async () => {
    const { platform, served } = rings();
    platform.write({ 'modules/ExperimentalFeature': null });
    platform.git('add', '-A');
    await done(platform, 'lock');
    platform.commit('Remove experimental-feature');
    const { edge, canary } = await served('edge', 'canary');
    assert.deepEqual([edge[alias], canary[alias]], ['0.1.0', undefined]);
    assert.deepEqual([canary['orders'], edge['orders']], ['1.1.0', '1.0.0']);
  });
});
