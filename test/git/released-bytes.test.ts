import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findBaseline } from '../../src/git/baseline.ts';
import { findDeployRefs } from '../../src/git/deploy-branch.ts';
import { findRepository } from '../../src/git/git-command.ts';
import { type AskedModule, readReleased, releasedDigests } from '../../src/git/released-bytes.ts';
import { createPlatform, modulesAt, type Platform, writeLocks } from '../support/platform.ts';

async function releasedIn(platform: Platform, asked: readonly AskedModule[] = []) {
  const repository = await findRepository(platform.path);
  const refs = await findDeployRefs(repository, ['main']);
  return readReleased(repository, refs, asked);
}

function digestOf(platform: Platform, alias: string, treeish = 'HEAD') {
  return modulesAt(platform, treeish).find((module) => module.alias === alias)?.sha256;
}

function release(platform: Platform, directory: string, version: string): string {
  platform.change(directory);
  platform.setVersion(directory, version);
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  return platform.commit(`${directory} ${version}`);
}

test('finds what every lock on the deploy branch released, also what was reverted', async (t) => {
  const platform = createPlatform(t);
  const first = platform.git('rev-parse', 'HEAD');
  const second = release(platform, 'Orders', '1.0.1');
  platform.git('revert', '--no-edit', 'HEAD');
  const orders = (await releasedIn(platform)).get('orders');
  assert.deepEqual([...(orders?.keys() ?? [])].sort(), ['1.0.0', '1.0.1']);
  assert.equal(orders?.get('1.0.0')?.sha256, digestOf(platform, 'orders', first));
  assert.equal(orders?.get('1.0.1')?.sha256, digestOf(platform, 'orders', second));
  assert.equal(orders?.get('1.0.1')?.commit, second);
  assert.equal(orders?.get('1.0.1')?.tree, platform.git('rev-parse', `${second}:modules/Orders`));
});

test('counts only what the remote’s deploy branch has, not what is not pushed', async (t) => {
  const platform = createPlatform(t);
  platform.addRemote(t);
  release(platform, 'Orders', '1.0.1');
  assert.deepEqual([...((await releasedIn(platform)).get('orders')?.keys() ?? [])], ['1.0.0']);
  platform.git('push', '-q', 'origin', 'main');
  assert.equal((await releasedIn(platform)).get('orders')?.size, 2);
});

test('follows the first parent only: a side branch’s own versions were never released', async (t) => {
  const platform = createPlatform(t);
  platform.git('checkout', '-q', '-b', 'side');
  release(platform, 'Orders', '1.0.1');
  release(platform, 'Orders', '1.0.2');
  platform.git('checkout', '-q', 'main');
  platform.git('merge', '-q', '--no-ff', '--no-edit', 'side');
  const orders = (await releasedIn(platform)).get('orders');
  assert.deepEqual([...(orders?.keys() ?? [])].sort(), ['1.0.0', '1.0.2']);
});

test('answers the same from its cache, after new commits, a rewrite, and a damaged cache', async (t) => {
  const platform = createPlatform(t);
  const repository = await findRepository(platform.path);
  const cacheFile = join(repository.commonDir, 'ringlock', 'released.json');
  const versions = async () => [...((await releasedIn(platform)).get('orders')?.keys() ?? [])];
  assert.deepEqual(await versions(), ['1.0.0']);
  release(platform, 'Orders', '1.0.1');
  assert.deepEqual((await versions()).sort(), ['1.0.0', '1.0.1']);
  platform.git('reset', '-q', '--hard', 'HEAD^');
  assert.deepEqual(await versions(), ['1.0.0']);
  release(platform, 'Orders', '1.1.0');
  writeFileSync(cacheFile, '{"version":1,"refs":{"refs/heads/ma');
  assert.deepEqual((await versions()).sort(), ['1.0.0', '1.1.0']);
  rmSync(cacheFile);
  const cold = releasedDigests(await releasedIn(platform));
  assert.deepEqual(releasedDigests(await releasedIn(platform)), cold);
});

test('takes a version that only a tag released, and digests it when it is asked for', async (t) => {
  const platform = createPlatform(t);
  platform.git('checkout', '-q', '-b', 'maintenance');
  release(platform, 'Orders', '1.0.9');
  platform.git('tag', '-a', '-m', 'hotfix', 'orders@1.0.9');
  platform.git('checkout', '-q', 'main');
  const unasked = (await releasedIn(platform)).get('orders');
  assert.ok(unasked?.has('1.0.9'));
  const asked = [{ alias: 'orders', version: '1.0.9', path: 'modules/Orders' }];
  const bytes = (await releasedIn(platform, asked)).get('orders')?.get('1.0.9');
  assert.equal(bytes?.sha256, digestOf(platform, 'orders', 'maintenance'));
});

test('compares with the merge base of the remote’s deploy branch, or with HEAD without a remote', async (t) => {
  const platform = createPlatform(t);
  const repository = await findRepository(platform.path);
  const baseline = async () =>
    findBaseline(
      repository,
      await findDeployRefs(repository, ['main']),
      platform.git('rev-parse', 'HEAD'),
    );
  const first = platform.git('rev-parse', 'HEAD');
  const second = platform.commit('Second', { 'README.md': 'two\n' });
  assert.equal(await baseline(), second);
  platform.addRemote(t);
  platform.commit('Third', { 'README.md': 'three\n' });
  assert.equal(await baseline(), second);
  platform.git('checkout', '-q', '-b', 'topic', first);
  platform.commit('Other', { 'OTHER.md': 'four\n' });
  assert.equal(await baseline(), first);
});
