import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertCommittedRight,
  assertRefused,
  createHookedPlatform,
} from '../support/hooked-platform.ts';
import { modulesAt, type Platform, writeLocks } from '../support/platform.ts';

const lock = 'manifests/canary.lock.json';

function bump(platform: Platform, directory: string, version: string): void {
  platform.change(directory);
  platform.setVersion(directory, version);
}

async function withReleased(t: Parameters<typeof createHookedPlatform>[0]): Promise<Platform> {
  const platform = await createHookedPlatform(t, { remote: true });
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  platform.git('push', '-q');
  return platform;
}

test('revert of a whole commit goes back to released bytes and may be pushed', async (t) => {
  const platform = await withReleased(t);
  const { stderr } = platform.tryGit('revert', '--no-edit', 'HEAD');
  assert.doesNotMatch(stderr, /warning/);
  await assertCommittedRight(t, platform);
  platform.git('push', '-q');
  assert.equal(platform.git('rev-parse', 'origin/main'), platform.git('rev-parse', 'HEAD'));
});

test('revert then bump: the reverted version stays taken, the next free one is named', async (t) => {
  const platform = await withReleased(t);
  platform.git('revert', '--no-edit', 'HEAD');
  platform.git('push', '-q');
  bump(platform, 'Orders', '1.0.1');
  assertRefused(
    platform,
    ['commit', '-am', 'x'],
    /orders 1\.0\.1 was released with other bytes[\s\S]*ringlock bump orders patch/,
  );
  platform.setVersion('Orders', '1.0.2');
  platform.git('commit', '-qam', 'Orders 1.0.2');
  await assertCommittedRight(t, platform);
  platform.git('push', '-q');
});

test('revert of the lock alone is warned of after the commit and refused at the push', async (t) => {
  const platform = await withReleased(t);
  platform.git('checkout', '-q', 'HEAD^', '--', lock);
  const { stderr } = platform.tryGit('commit', '--no-verify', '-m', 'Lock back');
  assert.match(stderr, /warning: .* pre-push will refuse it/);
  assert.match(stderr, /orders is 1\.0\.0 in the lock, its module\.json says 1\.0\.1/);
  const pushed = platform.tryGit('push');
  assert.notEqual(pushed.status, 0);
  assert.match(pushed.stderr, /canary\.lock\.json is not what the modules are/);
});

test('a cherry-picked change without a bump is warned of and refused at the push', async (t) => {
  const platform = await withReleased(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('Orders');
  platform.git('commit', '-qam', 'No bump', '--no-verify');
  platform.git('checkout', '-q', 'main');
  platform.commit('Else', { 'README.md': 'else\n' });
  const { stderr } = platform.tryGit('cherry-pick', 'topic');
  assert.match(stderr, /orders was changed, but its version is still 1\.0\.1/);
  const pushed = platform.tryGit('push');
  assert.notEqual(pushed.status, 0);
  assert.match(pushed.stderr, /refs\/heads\/main is not pushed/);
  assert.match(pushed.stderr, /ringlock bump orders patch/);
  platform.setVersion('Orders', '1.0.2');
  platform.git('commit', '-qam', 'Orders 1.0.2');
  platform.git('push', '-q');
  await assertCommittedRight(t, platform);
});

test('a cherry-pick with its bump and lock passes without a word', async (t) => {
  const platform = await withReleased(t);
  platform.git('checkout', '-qb', 'topic');
  bump(platform, 'MobileApp', '0.3.1');
  platform.git('commit', '-qam', 'MobileApp 0.3.1');
  platform.git('checkout', '-q', 'main');
  platform.commit('Else', { 'README.md': 'else\n' });
  assert.equal(platform.tryGit('cherry-pick', 'topic').stderr, '');
  await assertCommittedRight(t, platform);
  platform.git('push', '-q');
});

test('a rebase onto the same version with other bytes is warned of once, and refused at the push', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'topic');
  platform.write({ 'modules/Orders/src/topic.mjs': 'topic\n' });
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Topic');
  platform.commit('Else', { 'README.md': 'else\n' });
  platform.git('checkout', '-q', 'main');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Orders 1.0.1');
  platform.git('push', '-q');
  platform.git('checkout', '-q', 'topic');
  const rebased = platform.tryGit('rebase', '-X', 'theirs', 'main');
  assert.equal(rebased.status, 0, rebased.stderr);
  assert.equal(rebased.stderr.split('warning:').length, 2, rebased.stderr);
  assert.match(rebased.stderr, /orders 1\.0\.1 was released|orders was changed/);
  assert.notEqual(platform.tryGit('push', 'origin', 'topic').status, 0);
  platform.setVersion('Orders', '1.0.2');
  platform.git('commit', '-qam', 'Orders 1.0.2');
  platform.git('push', '-q', 'origin', 'topic');
  await assertCommittedRight(t, platform);
});

test('two clones that bump to one version: the second is refused at the push after it merged', async (t) => {
  const platform = await createHookedPlatform(t, { remote: true });
  platform.git('checkout', '-qb', 'mine');
  bump(platform, 'Orders', '1.0.1');
  platform.git('commit', '-qam', 'Mine');
  platform.git('checkout', '-q', 'main');
  platform.write({ 'modules/Orders/src/theirs.mjs': 'theirs\n' });
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Theirs');
  platform.git('push', '-q');
  platform.git('checkout', '-q', 'mine');
  const { stderr } = platform.tryGit('push', 'origin', 'mine');
  assert.match(stderr, /orders 1\.0\.1 was released with other bytes/);
});

test('the first push to an empty remote passes', async (t) => {
  const platform = await createHookedPlatform(t);
  const other = await createHookedPlatform(t, { remote: true });
  platform.git('remote', 'add', 'origin', `${other.git('remote', 'get-url', 'origin')}-empty`);
  platform.git('init', '-q', '--bare', platform.git('remote', 'get-url', 'origin'));
  platform.git('push', '-q', '-u', 'origin', 'main');
});

test('a pinned entry whose tree no deploy branch and no tag reaches is refused until it is tagged', async (t) => {
  const platform = await withReleased(t);
  platform.git('checkout', '-qb', 'maintenance', 'HEAD^');
  bump(platform, 'Orders', '1.0.9');
  platform.git('commit', '-qam', 'Hotfix 1.0.9');
  const tree = platform.git('rev-parse', 'HEAD:modules/Orders');
  const digest = modulesAt(platform, 'HEAD').find(({ alias }) => alias === 'orders')?.sha256;
  platform.git('checkout', '-q', 'main');
  const stable = 'manifests/stable.lock.json';
  const pinned = JSON.parse(platform.read(stable));
  Object.assign(pinned.modules.orders, { version: '1.0.9', tree, sha256: digest });
  platform.write({ [stable]: `${JSON.stringify(pinned, null, 2)}\n` });
  platform.git('commit', '-qam', 'Hotfix to stable');
  const { status, stderr } = platform.tryGit('push');
  assert.notEqual(status, 0);
  assert.match(stderr, /orders 1\.0\.9 pins tree .* which no deploy branch and no tag reaches/);
  platform.git('tag', 'orders@1.0.9', 'maintenance');
  platform.git('push', '-q', '--no-verify', 'origin', 'orders@1.0.9');
  platform.git('push', '-q');
});

test('deleting a branch and pushing a tag are nobody’s business', async (t) => {
  const platform = await withReleased(t);
  platform.git('push', '-q', 'origin', 'HEAD:refs/heads/gone');
  platform.git('tag', 'anything');
  assert.equal(platform.tryGit('push', '-q', 'origin', ':gone', 'anything').status, 0);
});

test('a lock that was committed by hand and is right is not refused', async (t) => {
  const platform = await withReleased(t);
  bump(platform, 'MobileApp', '0.3.1');
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.git('add', '-A');
  assert.equal(platform.tryGit('commit', '--no-verify', '-qm', 'By hand').stderr, '');
  platform.git('push', '-q');
  await assertCommittedRight(t, platform);
});
