import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Platform } from '../support/platform.ts';
import { bump, done, lockOf, locksOf, ringlock, threeRings } from './three-rings.ts';

const promote = ['ring', 'promote', 'orders', '--from', 'canary', '--to', 'edge'] as const;

const dayIn = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const last = dayIn(30);
const opens = new Date(Date.parse(last) + 86_400_000).toISOString().slice(0, 10);

/** Edge's file with gates: a freeze that has begun long ago. */
const frozen = (more = '') =>
  `namespace: platform-edge\npromotesFrom: canary\ngates:\n  freeze: [{from: 2020-01-01, to: ${last}, reason: stocktaking}]\n${more}`;

async function release(platform: Platform, version: string): Promise<void> {
  bump(platform, 'Orders', version);
  await done(platform, 'lock');
  platform.commit(`Orders ${version}`);
}

const rings = threeRings();

describe('RingGates', () => {
  test('a closed gate keeps a version out of the target ring, and says which gate and until when', async () => {
    const { platform, served } = rings();
    await release(platform, '1.1.0');
    platform.commit('Freeze edge', { 'manifests/edge.ring.yaml': frozen() });
    const before = locksOf(platform);
    const { code, output } = await ringlock(platform, ...promote);
    assert.equal(code, 1, output);
    assert.match(output, new RegExp(`freeze.*stocktaking; opens ${opens}`));
    assert.deepEqual(locksOf(platform), before);
    assert.equal((await served('edge')).edge['orders'], '1.0.0');
  });

  test('gates are the target ring’s alone: the source ring goes on', async () => {
    const { platform, served } = rings();
    await release(platform, '1.2.0');
    assert.equal((await served('canary')).canary['orders'], '1.2.0');
  });

  test('an override where the ring allows none is refused, and nothing is written', async () => {
    const { platform } = rings();
    const before = locksOf(platform);
    const { code, output } = await ringlock(platform, ...promote, '--commit', '--override', 'late');
    assert.equal(code, 1, output);
    assert.match(output, /edge\.ring\.yaml does not allow to go over its gates/);
    assert.deepEqual(locksOf(platform), before);
  });

  test('an override where the ring allows it is in the commit that deploys', async () => {
    const { platform, served } = rings();
    platform.commit('Allow it', { 'manifests/edge.ring.yaml': frozen('  override: true\n') });
    await done(platform, ...promote, '--commit', '--override', 'the shop is down');
    assert.match(
      platform.git('log', '-1', '--format=%B'),
      /^Ringlock-Override: the shop is down$/m,
    );
    assert.equal((await served('edge')).edge['orders'], '1.2.0');
  });

  test('what the ring ran before may always come back, freeze or not', async () => {
    const { platform, served } = rings();
    platform.git('revert', '--no-edit', 'HEAD');
    platform.commit('Allow none', { 'manifests/edge.ring.yaml': frozen() });
    assert.equal((await served('edge')).edge['orders'], '1.0.0');
    await done(platform, ...promote, '--commit');
    assert.equal(lockOf(platform, 'edge').modules['orders']?.version, '1.2.0');
  });
});
