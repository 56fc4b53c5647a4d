import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import {
  deploy,
  filesLockedAt,
  filesServed,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** What an image bakes: the ring's lock and its modules, as they are in the work tree. */
function bakeSeed(t: TestContext, platform: Platform): string {
  const seed = temporaryDirectory(t, 'seed');
  mkdirSync(join(seed, 'modules'));
  cpSync(join(platform.path, 'modules'), join(seed, 'modules'), { recursive: true });
  cpSync(join(platform.path, 'manifests/canary.lock.json'), join(seed, 'lock.json'));
  const commit = platform.git('rev-parse', 'HEAD');
  writeFileSync(join(seed, 'seed.json'), JSON.stringify({ commit, branch: 'main' }));
  return seed;
}

function init(root: string, repo: string, ...more: string[]) {
  const where = ['--repo', repo, '--root', root, '--ring', 'canary'];
  return runCli(root, ['reconcile', '--init', ...where, ...more]);
}

describe('a new pod', { concurrency: 2 }, () => {
  it('serves its seed as generation 0 while git is away', async (t) => {
    const platform = createPlatform(t);
    const root = temporaryDirectory(t, 'root');
    const { code, stderr } = await init(root, '/away', '--seed', bakeSeed(t, platform));
    assert.equal(code, 0, stderr);
    assert.equal(readStatusFile(root).generation, 0);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
    assert.equal(readEvents(root).filter(({ action }) => action === 'install').length, 4);
  });

  it('goes on from its seed to the commit that git has', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const seed = bakeSeed(t, platform);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const { code, stderr } = await reconcileOnce({ repo, root }, ['--seed', seed]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('refuses a lagging mirror that has not come as far as its seed', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    release(platform, 'Orders', '1.0.1');
    platform.git('remote', 'remove', 'origin');
    deploy(platform, 'Orders 1.0.1');
    const ahead = bakeSeed(t, platform);
    const { code, stderr } = await reconcileOnce({ repo, root }, ['--seed', ahead]);
    assert.equal(code, 1);
    assert.match(stderr, /does not descend from/);
    assert.equal(readStatusFile(root).modules['orders'], '1.0.1');
  });

  it('refuses a seed whose bytes are not what its lock pins', async (t) => {
    const platform = createPlatform(t);
    const root = temporaryDirectory(t, 'root');
    const seed = bakeSeed(t, platform);
    appendFileSync(join(seed, 'modules/Orders/src/index.mjs'), '// tampered\n');
    const { code, stderr } = await init(root, '/away', '--seed', seed);
    assert.notEqual(code, 0);
    assert.match(stderr, /orders/);
    assert.match(stderr, /sha256:/);
  });

  it('exits 3 with --init when nothing serves, and 0 when the last good generation does', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    assert.equal((await init(root, '/away')).code, 3);
    assert.equal((await init(root, repo)).code, 0);
    assert.equal((await init(root, '/away')).code, 0);
  });

  it('refuses what its own image cannot run, whatever the lock says', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const image = join(temporaryDirectory(t, 'image'), 'VERSION');
    writeFileSync(image, '1.9.0\n');
    const refused = await reconcileOnce({ repo, root }, ['--platform-file', image]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /platform 1\.9\.0 does not satisfy \^2\.0\.0/);
    writeFileSync(image, '2.4.0\n');
    assert.equal((await reconcileOnce({ repo, root }, ['--platform-file', image])).code, 0);
  });
});
