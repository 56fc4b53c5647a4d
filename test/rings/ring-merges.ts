import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Platform } from '../support/platform.ts';
import { add, bump, done, lockOf, locksOf, ringlock, threeRings } from './three-rings.ts';

const canaryLock = 'manifests/canary.lock.json';

/** A branch off main with one commit, its lock written by the command. */
async function branch(platform: Platform, name: string, change: () => void): Promise<void> {
  platform.git('checkout', '-q', '-b', name, 'main');
  change();
  platform.git('add', '-A');
  await done(platform, 'lock');
  platform.commit(name);
}

/** Merges as git does by itself; returns the files that it could not merge. */
function mergeBoth(platform: Platform, first: string, second: string): string[] {
  platform.git('checkout', '-q', 'main');
  platform.git('merge', '-q', '--no-verify', first);
  platform.tryGit('merge', '-q', '--no-verify', '--no-edit', second);
  return platform.git('diff', '--name-only', '--diff-filter=U').split('\n').filter(Boolean);
}

const rings = threeRings();

describe('RingMerge', () => {
  test('two branches that bump different modules merge, and canary runs both', async () => {
    const { platform, served } = rings();
    await branch(platform, 'bump-orders', () => bump(platform, 'Orders', '1.1.0'));
    await branch(platform, 'bump-products', () => bump(platform, 'Products', '1.1.0'));
    const before = locksOf(platform);
    assert.deepEqual(mergeBoth(platform, 'bump-orders', 'bump-products'), []);
    await done(platform, 'lock', '--check');
    const { canary } = await served('canary');
    assert.deepEqual([canary['orders'], canary['products']], ['1.1.0', '1.1.0']);
    assert.deepEqual({ ...locksOf(platform), canary: '' }, { ...before, canary: '' });
  });

  test('two branches that add neighbouring modules conflict in the lock, and ringlock lock resolves it', async () => {
    const { platform, served } = rings();
    for (const name of ['Invoices', 'Inventory']) {
      const module = { directory: name, alias: name.toLowerCase(), version: '1.0.0' };
      await branch(platform, `add-${module.alias}`, () => add(platform, module));
    }
    assert.deepEqual(mergeBoth(platform, 'add-invoices', 'add-inventory'), [canaryLock]);
    assert.match(platform.read(canaryLock), /^<{7}/m);
    await done(platform, 'lock');
    platform.commit('Merge');
    await done(platform, 'lock', '--check');
    const { canary } = await served('canary');
    assert.deepEqual([canary['invoices'], canary['inventory']], ['1.0.0', '1.0.0']);
    const { modules } = lockOf(platform, 'stable');
    assert.deepEqual([modules['invoices'], modules['inventory']], [undefined, undefined]);
  });

  test('two branches that bump one module need a version above both, which ringlock lock then pins', async () => {
    const { platform, served } = rings();
    const names = ['first-fix', 'second-fix'];
    for (const name of names) {
      await branch(platform, name, () => {
        platform.change('MobileApp', name);
        platform.setVersion('MobileApp', '0.3.1');
      });
    }
    const conflicts = mergeBoth(platform, 'first-fix', 'second-fix');
    assert.deepEqual(conflicts, [canaryLock, 'modules/MobileApp/src/index.mjs']);
    platform.write({ 'modules/MobileApp/src/index.mjs': '// both fixes\n' });
    platform.setVersion('MobileApp', '0.3.2');
    platform.git('add', 'modules');
    const { code } = await ringlock(platform, 'lock', '--check');
    assert.notEqual(code, 0, 'a lock with conflict markers is not right');
    await done(platform, 'lock');
    platform.commit('Merge both fixes');
    await done(platform, 'lock', '--check');
    assert.equal((await served('canary')).canary['mobile-app'], '0.3.2');
  });
});
