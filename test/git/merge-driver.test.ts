import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LockCommand } from '../../src/commands/lock.ts';
import { formatLock, type LockEntry, parseLock } from '../../src/repo/lock.ts';
import { runCommand } from '../support/command.ts';
import { assertCommittedRight, createHookedPlatform } from '../support/hooked-platform.ts';
import {
  addModule,
  createMergingPlatform,
  installDriver,
  lockOf,
  release,
  staleLocks,
} from '../support/merging-platform.ts';
import { asPlatform, type Platform } from '../support/platform.ts';
import { createRepository, openRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function versionsOf(platform: Platform, ring: string, treeish?: string): Record<string, string> {
  const { modules } = lockOf(platform, ring, treeish);
  return Object.fromEntries(
    Object.entries<{ version: string }>(modules).map(([alias, { version }]) => [alias, version]),
  );
}

/** Two branches that a text merge of the lock cannot merge: neighbours bumped, neighbours added. */
async function diverge(platform: Platform): Promise<void> {
  platform.git('branch', 'topic');
  await release(platform, 'Communications', '1.0.1');
  await addModule(platform, 'Payments');
  platform.git('checkout', '-q', 'topic');
  await release(platform, 'MobileApp', '0.4.0');
  await addModule(platform, 'Pricing');
  platform.git('checkout', '-q', 'main');
}

const both = {
  communications: '1.0.1',
  'mobile-app': '0.4.0',
  orders: '1.0.0',
  payments: '0.1.0',
  pricing: '0.1.0',
  products: '1.0.0',
};

test('neighbours that were bumped and added merge clean, and the lock is that of the merged modules', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.git('config', 'core.hooksPath', '/nowhere');
  await diverge(platform);
  const without = platform.tryGit(
    '-c',
    'merge.ringlock.driver=git merge-file -q %A %O %B',
    'merge',
    'topic',
  );
  assert.match(without.stdout, /CONFLICT .*canary\.lock\.json/, 'git alone merges it: a weak test');
  platform.git('merge', '--abort');
  platform.git('config', '--unset', 'core.hooksPath');
  platform.git('merge', '-q', '--no-edit', 'topic');
  assert.deepEqual(versionsOf(platform, 'canary'), both);
  await assertCommittedRight(t, platform);
});

test('a tracking ring', async (t) => {
  const platform = await createMergingPlatform(t);
  platform.git('branch', 'start');
  await diverge(platform);
  await t.test('rebase and cherry-pick merge alike, in a linked worktree too', async () => {
    const path = `${temporaryDirectory(t, 'linked')}/tree`;
    platform.git('worktree', 'add', '-q', '-b', 'picked', path, 'main');
    const linked = asPlatform(openRepository(path));
    linked.git('cherry-pick', 'topic~1', 'topic');
    assert.deepEqual(versionsOf(linked, 'canary'), both);
    platform.git('checkout', '-qb', 'rebased', 'topic');
    platform.git('rebase', '-q', 'main');
    assert.equal(platform.git('rev-parse', 'HEAD^{tree}'), linked.git('rev-parse', 'HEAD^{tree}'));
    assert.deepEqual(await staleLocks(platform), []);
  });

  await t.test(
    'an octopus merge asks no driver: git refuses neighbours, and merges the rest',
    async () => {
      platform.git('checkout', '-qb', 'apart', 'start');
      await release(platform, 'Products', '1.0.1');
      platform.git('checkout', '-q', '--detach', 'start');
      const start = await release(platform, 'Orders', '1.0.1');
      platform.git('reset', '-q', '--hard', start);
      platform.git('merge', '-q', '--no-edit', 'main', 'apart');
      assert.equal(platform.git('rev-list', '--parents', '-1', 'HEAD').split(' ').length, 4);
      platform.git('merge', '-q', '--no-edit', 'topic');
      assert.deepEqual(await staleLocks(platform), []);
    },
  );

  await t.test(
    'one module on both sides is a conflict that lock resolves from modules/',
    async () => {
      platform.git('checkout', '-q', '--detach', 'start');
      await release(platform, 'Communications', '1.1.0');
      const merged = platform.tryGit('merge', 'main~1');
      const message =
        /canary\.lock\.json has conflicts:\n {2}communications: 1\.1\.0 on our side, 1\.0\.1/;
      assert.match(merged.stderr, message);
      platform.git('checkout', '--ours', 'modules/Communications');
      platform.git('add', 'modules');
      const locked = await runCommand(platform.path, LockCommand, ['lock']);
      assert.equal(locked.code, 0, locked.stderr);
      platform.git('add', 'manifests');
      platform.git('commit', '-q', '--no-edit');
      assert.equal(versionsOf(platform, 'canary')['communications'], '1.1.0');
      assert.deepEqual(await staleLocks(platform), []);
    },
  );
});

const entry: LockEntry = {
  ...{ version: '1.0.0', directory: 'A', source: null, tree: null, artifact: null },
  ...{ sha256: `sha256:${'0'.repeat(64)}`, file_count: 1, size_bytes: 1, released_at: null },
};

test('tenants.yaml merges by tenant and field; what it cannot decide is marked and named', async (t) => {
  const platform = createRepository(t);
  await installDriver(platform);
  const file = 'manifests/tenants.yaml';
  const tenants = (acme: string, ring = 'stable') =>
    `# Ours.\ntenants:\n  acme: # first\n    ring: ${ring}\n    modules: [${acme}]\n  foo: { ring: edge }\n`;
  platform.commit('Tenants', { [file]: tenants('orders') });
  platform.git('checkout', '-qb', 'topic');
  const lock = (alias: string) =>
    formatLock({ ring: 'beta', platform: '2.0.0', modules: new Map([[alias, entry]]) });
  const beta = 'manifests/beta.lock.json';
  platform.commit('Products', { [file]: tenants('orders, products'), [beta]: lock('products') });
  platform.git('checkout', '-q', 'main');
  platform.commit('Mobile', {
    [file]: tenants('mobile-app, orders', 'edge'),
    [beta]: lock('orders'),
  });
  platform.git('merge', '-q', '--no-edit', 'topic');
  assert.equal(platform.read(file), tenants('mobile-app, orders, products', 'edge'));
  const added = parseLock(platform.read(beta), 'beta');
  assert.deepEqual([...added.modules.keys()], ['orders', 'products'], 'a lock that both added');
  platform.git('checkout', '-q', 'topic');
  platform.commit('Canary', { [file]: tenants('orders', 'canary') });
  const { status, stderr } = platform.tryGit('merge', 'main');
  assert.equal(status, 1);
  assert.match(
    stderr,
    /tenants\.yaml has conflicts:\n {2}acme\.ring: canary on our side, edge on theirs/,
  );
  assert.match(
    platform.read(file),
    /^<{7} ours\n {4}ring: canary\n[\s\S]*^ {4}ring: edge\n[\s\S]*^>{7} main$/m,
  );
  platform.git('merge', '--abort');
  // Each line merges, and two tenants have one hostname.
  platform.git('checkout', '-qb', 'one', 'main');
  platform.commit('One', {
    [file]: `${tenants('orders')}  bar: { ring: edge, hostnames: [shop.example.com] }\n`,
  });
  platform.git('checkout', '-qb', 'two', 'main');
  platform.commit('Two', {
    [file]: tenants('orders').replace('first\n', 'first\n    hostnames: [shop.example.com]\n'),
  });
  const twice = platform.tryGit('merge', 'one');
  assert.equal(twice.status, 1);
  assert.match(twice.stderr, /shop\.example\.com is a hostname of tenant acme and of tenant bar/);
  assert.match(platform.read(file), /^<{7} ours$/m);
});
