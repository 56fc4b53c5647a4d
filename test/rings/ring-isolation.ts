import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { bump, done, lockOf, locksOf, ringNames, threeRings, versionsOf } from './three-rings.ts';

const rings = threeRings();

describe('RingIsolation', () => {
  test('each ring reads from its own lock file', async () => {
    const { platform, served, load } = rings();
    bump(platform, 'Orders', '1.1.0');
    await done(platform, 'lock');
    platform.commit('Orders 1.1.0');
    const versions = await served(...ringNames);
    for (const ring of ringNames) {
      const { ring: name, modules } = lockOf(platform, ring);
      const pinned = Object.entries(modules).map(([alias, { version }]) => [alias, version]);
      assert.deepEqual(versions[ring], Object.fromEntries(pinned), ring);
      assert.equal((await load(ring)).ring, name);
    }
    assert.deepEqual(
      ringNames.map((ring) => versions[ring]['orders']),
      ['1.0.0', '1.0.0', '1.1.0'],
    );
  });

  test('a change of canary’s lock leaves stable and edge as they are', async () => {
    const { platform, converge, load } = rings();
    const [stable, edge, canary] = await Promise.all(ringNames.map(load));
    bump(platform, 'Products', '1.2.0');
    await done(platform, 'lock');
    platform.commit('Products 1.2.0');
    for (const ring of ringNames) assert.equal(await converge(ring), 0);
    assert.deepEqual(await load('stable'), stable);
    assert.deepEqual(await load('edge'), edge);
    const after = await load('canary');
    assert.equal(after.generation, (canary?.generation ?? 0) + 1);
    assert.equal(versionsOf(after)['products'], '1.2.0');
  });

  test('tenants resolve to their assigned ring, and an assignment moves one tenant and no lock', async () => {
    const { platform } = rings();
    const file =
      'tenants:\n  acme: { ring: stable }\n  bar: { ring: edge }\n  qa: { ring: canary }\n';
    platform.commit('Tenants', { 'manifests/tenants.yaml': file });
    const tenantsOf = async () => {
      const { rings: listed } = JSON.parse(await done(platform, 'ring', 'list', '--json'));
      const counts = listed.map((ring: { name: string; tenants: number }) => [
        ring.name,
        ring.tenants,
      ]);
      const shown: string[] = [];
      for (const ring of ringNames) {
        shown.push(await done(platform, 'ring', 'show', ring, '--tenants'));
      }
      const at = (tenant: string) =>
        ringNames.filter((_, index) => new RegExp(`^${tenant}\\b`, 'm').test(shown[index] ?? ''));
      return { counts: Object.fromEntries(counts), acme: at('acme'), bar: at('bar'), qa: at('qa') };
    };
    assert.deepEqual(await tenantsOf(), {
      counts: { canary: 1, edge: 1, stable: 1 },
      ...{ acme: ['stable'], bar: ['edge'], qa: ['canary'] },
    });
    const locks = locksOf(platform);
    await done(platform, 'ring', 'assign', 'acme', 'edge', '--reason', 'opted in');
    assert.deepEqual(locksOf(platform), locks);
    assert.deepEqual(await tenantsOf(), {
      counts: { canary: 1, edge: 2, stable: 0 },
      ...{ acme: ['edge'], bar: ['edge'], qa: ['canary'] },
    });
  });

  test('a lock that cannot be read stops its own ring only, which serves on', async () => {
    const { platform, converge, load } = rings();
    const edge = await load('edge');
    bump(platform, 'MobileApp', '0.4.0');
    await done(platform, 'lock');
    platform.commit('A broken lock', { 'manifests/edge.lock.json': '{"ring": "edge", "modules":' });
    assert.equal(await converge('edge'), 1);
    assert.deepEqual(await load('edge'), edge);
    assert.equal(await converge('canary'), 0);
    assert.equal(versionsOf(await load('canary'))['mobile-app'], '0.4.0');
    platform.git('checkout', '-q', 'HEAD~', '--', 'manifests/edge.lock.json');
    platform.commit('Mend the lock');
    assert.equal(await converge('edge'), 0);
  });

  test('the health answer of a ring names the ring and the lock that it runs', async () => {
    const { load, root } = rings();
    for (const ring of ringNames) {
      const { ring: name, lockPath } = await load(ring);
      const health = { ring: { name, lock_path: lockPath } };
      assert.equal(health.ring.name, ring);
      assert.ok(health.ring.lock_path.startsWith(`${root(ring)}/generations/`));
      assert.equal(JSON.parse(readFileSync(health.ring.lock_path, 'utf8')).ring, ring);
    }
  });
});
