import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertCommittedRight,
  assertLocksRight,
  assertRefused,
  createHookedPlatform,
} from '../support/hooked-platform.ts';
import { asPlatform, moduleFiles, type Platform } from '../support/platform.ts';
import { openRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const lock = 'manifests/canary.lock.json';

function bump(platform: Platform, directory: string, version: string): void {
  platform.change(directory);
  platform.setVersion(directory, version);
}

function lockedVersion(platform: Platform, alias: string, treeish = 'HEAD'): string {
  return JSON.parse(platform.git('show', `${treeish}:${lock}`)).modules[alias].version;
}

test('refuses a changed module without a bump: both versions, its files and the command are named', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.change('Orders');
  platform.git('add', '-A');
  const { stderr } = assertRefused(platform, ['commit', '-m', 'x'], /orders was changed/);
  assert.match(stderr, /still 1\.0\.0/);
  assert.match(stderr, /modules\/Orders\/src\/index\.mjs/);
  assert.match(stderr, /ringlock bump orders patch/);
});

test('writes the tracking ring’s lock for a bumped module and leaves pinned rings’ locks alone', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Orders 1.0.1');
  assert.equal(lockedVersion(platform, 'orders'), '1.0.1');
  const changed = platform.git('show', '--name-only', '--format=', 'HEAD').split('\n');
  assert.deepEqual(
    changed.filter((path) => path.startsWith('manifests/')),
    [lock],
  );
  await assertCommittedRight(t, platform);
});

test('wants no bump for a file that is not distributed', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.write({ 'modules/Orders/tests/index.test.mjs': '// other\n' });
  platform.git('commit', '-qam', 'Test more');
  await assertCommittedRight(t, platform);
});

test('git add -p: locks what is staged, and the rest of the module stays unstaged', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('add', '-A');
  platform.change('Orders', 'not staged');
  platform.write({ 'modules/Orders/src/more.mjs': 'untracked\n' });
  platform.git('commit', '-qm', 'Orders 1.0.1');
  await assertCommittedRight(
    t,
    platform,
    ' M modules/Orders/src/index.mjs\n?? modules/Orders/src/more.mjs',
  );
  assert.match(platform.read('modules/Orders/src/index.mjs'), /not staged/);
});

test('git commit -a: the lock follows', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  await assertCommittedRight(t, platform);
});

test('git commit <path>: commits the right lock, and index and work tree are left in line', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  bump(platform, 'MobileApp', '0.3.1');
  platform.git('commit', '-qm', 'Orders 1.0.1', '--', 'modules/Orders');
  await assertCommittedRight(
    t,
    platform,
    ' M modules/MobileApp/module.json\n M modules/MobileApp/src/index.mjs',
  );
  assert.equal(lockedVersion(platform, 'mobile-app'), '0.3.0');
  platform.git('commit', '-qam', 'MobileApp 0.3.1');
  await assertCommittedRight(t, platform);
});

test('git commit <path> with another module staged: that one stays staged, unlocked', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'MobileApp', '0.3.1');
  platform.git('add', '-A');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qm', 'Orders 1.0.1', '--', 'modules/Orders');
  await assertCommittedRight(
    t,
    platform,
    'M  modules/MobileApp/module.json\nM  modules/MobileApp/src/index.mjs',
  );
  platform.git('commit', '-qm', 'MobileApp 0.3.1');
  await assertCommittedRight(t, platform);
});

test('git commit <path> naming the lock too: a hand-written lock is put right everywhere', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.write({ [lock]: platform.read(lock).replace('"1.0.0"', '"9.9.9"') });
  platform.git('commit', '-qm', 'Orders 1.0.1', '--', 'modules/Orders', lock);
  await assertCommittedRight(t, platform);
});

test('renamed directory: said, locked, and no bump needed', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.git('mv', 'modules/Orders', 'modules/Sales');
  const { status, stderr } = platform.tryGit('commit', '-m', 'Rename');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /orders moved from modules\/Orders to modules\/Sales/);
  await assertCommittedRight(t, platform);
});

test('a deleted module is refused while another depends on it, else leaves the lock', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.git('rm', '-rq', 'modules/Orders');
  assertRefused(
    platform,
    ['commit', '-m', 'x'],
    /orders is deleted while communications depends on it/,
  );
  platform.git('rm', '-rq', 'modules/Communications');
  platform.git('commit', '-qm', 'Remove both');
  await assertCommittedRight(t, platform);
});

test('refuses a range that a ring would refuse', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '2.0.0');
  platform.git('add', '-A');
  assertRefused(
    platform,
    ['commit', '-m', 'x'],
    /communications 1\.0\.0 depends on orders \^1\.0\.0, found 2\.0\.0/,
  );
});

test('the first commit of a repository gets its lock', async (t) => {
  const platform = await createHookedPlatform(t, { commit: false, rings: ['canary'] });
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Start');
  await assertCommittedRight(t, platform);
});

test('--amend without a remote: one bump is enough for the amended commit', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  platform.change('Orders', 'amended');
  assertRefused(platform, ['commit', '-am', '--amend'], /orders was changed/);
  platform.git('commit', '-qa', '--amend', '--no-edit');
  await assertCommittedRight(t, platform);
  assert.equal(lockedVersion(platform, 'orders'), '1.0.1');
  assert.equal(platform.git('rev-list', '--count', 'HEAD'), '2');
});

test('with a remote one bump is enough for all unpushed commits, amended or not', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  platform.change('Orders', 'second');
  platform.git('commit', '-qam', 'Orders more');
  platform.change('Orders', 'third');
  platform.git('commit', '-qa', '--amend', '--no-edit');
  await assertCommittedRight(t, platform);
  platform.git('push', '-q');
  platform.change('Orders', 'fourth');
  assertRefused(platform, ['commit', '-am', 'x'], /still 1\.0\.1/);
});

test('add -N: a file without staged content is not in the lock', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('add', '-A');
  platform.write({ 'modules/Orders/src/later.mjs': 'later\n' });
  platform.git('add', '-N', 'modules/Orders/src/later.mjs');
  platform.git('commit', '-qm', 'Orders 1.0.1');
  await assertCommittedRight(t, platform, ' A modules/Orders/src/later.mjs');
});

test('a linked worktree: its own index is read and written', async (t) => {
  const platform = await createHookedPlatform(t);
  const path = `${temporaryDirectory(t, 'linked')}/tree`;
  platform.git('worktree', 'add', '-q', '-b', 'topic', path);
  const linked = asPlatform(openRepository(path));
  bump(linked, 'Orders', '1.0.1');
  linked.git('commit', '-qam', 'Orders 1.0.1');
  bump(linked, 'MobileApp', '0.3.1');
  linked.git('commit', '-qm', 'MobileApp 0.3.1', 'modules/MobileApp');
  await assertCommittedRight(t, linked);
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('an edited lock in the work tree is left, and what is committed is right', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  platform.git('add', 'modules');
  platform.write({ [lock]: `${platform.read(lock)}\n` });
  const { stderr } = platform.tryGit('commit', '-m', 'Orders 1.0.1');
  assert.match(stderr, /your unstaged edit of manifests\/canary\.lock\.json stays/);
  await assertCommittedRight(t, platform, ` M ${lock}`);
});

test('a bare edit of a tracking lock is undone and said', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.write({ [lock]: platform.read(lock).replace('"1.0.0"', '"0.9.0"'), 'README.md': 'x\n' });
  platform.git('add', '-A');
  const { status, stderr } = platform.tryGit('commit', '-m', 'Lock back');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /follows what is staged: communications 0\.9\.0 → 1\.0\.0/);
  await assertCommittedRight(t, platform);
});

test('a committed hold is obeyed', async (t) => {
  const platform = await createHookedPlatform(t);
  const ring = 'manifests/canary.ring.yaml';
  platform.write({
    [ring]: `${platform.read(ring)}holds:\n  orders:\n    version: 1.0.0\n    reason: incident 7\n`,
  });
  platform.git('commit', '-qam', 'Hold orders');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  assert.equal(lockedVersion(platform, 'orders'), '1.0.0');
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('a pinned ring’s lock with bytes that were never released under that version is refused', async (t) => {
  const platform = await createHookedPlatform(t);
  const stable = 'manifests/stable.lock.json';
  const text = platform.read(stable);
  platform.write({ [stable]: text.replace(/sha256:[0-9a-f]{64}/, `sha256:${'0'.repeat(64)}`) });
  platform.git('add', '-A');
  assertRefused(
    platform,
    ['commit', '-m', 'x'],
    /stable\.lock\.json: communications 1\.0\.0 has the/,
  );
});

test('prereleases go up by precedence', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'MobileApp', '0.4.0-beta.2');
  platform.git('commit', '-qam', 'Beta 2');
  platform.change('MobileApp');
  assertRefused(platform, ['commit', '-am', 'x'], /ringlock bump mobile-app 0\.4\.0-beta\.3/);
  platform.setVersion('MobileApp', '0.4.0-beta.1');
  assertRefused(platform, ['commit', '-am', 'x'], /goes back from 0\.4\.0-beta\.2/);
  platform.setVersion('MobileApp', '0.4.0');
  platform.git('commit', '-qam', 'Final');
  await assertCommittedRight(t, platform);
});

test('hostile file names: spaces, Unicode, a leading dash', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.setVersion('Orders', '1.0.1');
  platform.write({
    'modules/Orders/-rf .txt': 'a',
    'modules/Orders/ünï 😀.txt': 'b',
    'modules/Orders/"quoted".txt': 'c',
  });
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Orders 1.0.1');
  await assertCommittedRight(t, platform);
});

test('modules of another root are found by the shim and locked', async (t) => {
  const platform = await createHookedPlatform(t);
  platform.write({ 'manifests/ringlock.yaml': 'roots:\n  - modules # usual\n  - "themes"\n' });
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Another root');
  const dark = moduleFiles({ directory: 'Dark', alias: 'dark', version: '1.0.0' });
  for (const [name, content] of Object.entries(dark)) {
    platform.write({ [`themes/Dark/${name}`]: content });
  }
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Dark');
  assert.equal(lockedVersion(platform, 'dark'), '1.0.0');
  platform.write({ 'themes/Dark/src/index.mjs': 'other\n' });
  assertRefused(platform, ['commit', '-am', 'x'], /dark was changed/);
});

test('a merge of two branches that bumped to one version needs a greater one', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'a');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'A');
  platform.git('checkout', '-q', 'main');
  platform.git('checkout', '-qb', 'b');
  platform.setVersion('Orders', '1.0.1');
  platform.write({ 'modules/Orders/src/b.mjs': 'b\n' });
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'B');
  platform.tryGit('merge', '--no-edit', 'a');
  // The two locks conflict in the digest; either is as wrong as the other.
  platform.git('checkout', '--ours', '--', lock);
  platform.git('add', '-A');
  assertRefused(
    platform,
    ['commit', '--no-edit'],
    /orders 1\.0\.1 is merged from 1\.0\.1 and 1\.0\.1/,
  );
  platform.setVersion('Orders', '1.0.2');
  platform.git('add', '-A');
  platform.git('commit', '-q', '--no-edit');
  await assertCommittedRight(t, platform);
});

test('a clean merge keeps each parent’s bytes and versions, and its lock is right', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'a');
  bump(platform, 'Products', '1.0.1');
  platform.git('commit', '-qam', 'A');
  platform.git('checkout', '-q', 'main');
  bump(platform, 'Communications', '1.0.1');
  platform.git('commit', '-qam', 'B');
  platform.git('merge', '-q', '--no-edit', 'a');
  assert.equal(platform.git('rev-list', '--count', '--merges', 'HEAD'), '1');
  await assertCommittedRight(t, platform);
});

test('a clean merge whose lock is not right is concluded by git commit', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'a');
  bump(platform, 'Products', '1.0.1');
  platform.git('commit', '-qam', 'A', '--no-verify');
  platform.git('checkout', '-q', 'main');
  platform.commit('B', { 'README.md': 'b\n' });
  assertRefused(platform, ['merge', '--no-edit', 'a'], /conclude it with git commit/);
  platform.git('commit', '-q', '--no-edit');
  await assertCommittedRight(t, platform);
});

test('merge --squash of a branch is an ordinary commit', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'a');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'A1');
  platform.change('Orders');
  platform.git('commit', '-qam', 'A2');
  platform.git('checkout', '-q', 'main');
  platform.git('merge', '-q', '--squash', 'a');
  platform.git('commit', '-qm', 'A, squashed');
  await assertCommittedRight(t, platform);
  platform.git('push', '-q');
  // The branch goes on at the version that the squash has released.
  platform.git('checkout', '-q', 'a');
  platform.change('Orders');
  assertRefused(platform, ['commit', '-am', 'x'], /orders 1\.0\.1 was released with other bytes/);
});

test('a commit that aborts after the hook leaves nothing that the next one cannot put right', async (t) => {
  const platform = await createHookedPlatform(t);
  bump(platform, 'Orders', '1.0.1');
  assert.notEqual(platform.tryGit('commit', '-m', '', '--', 'modules/Orders').status, 0);
  platform.git('commit', '-qm', 'Orders 1.0.1', '--', 'modules/Orders');
  await assertCommittedRight(t, platform);
  await assertLocksRight(t, platform);
});
