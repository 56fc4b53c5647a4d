import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { loadModules } from '../../src/loader/load-modules.ts';
import {
  deploy,
  filesLockedAt,
  filesServed,
  push,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { serveGit } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Ring {
  readonly platform: Platform;
  readonly repo: string;
  readonly root: string;
}

/** A platform with a bare remote that the reconciler reads by path, and an empty root. */
function createRing(t: TestContext): Ring {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  return { platform, repo, root: temporaryDirectory(t, 'root') };
}

async function converge(ring: Ring, ...more: string[]): Promise<void> {
  const { code, stderr } = await reconcileOnce(ring, more);
  assert.equal(code, 0, stderr);
}

describe('reconcile --once', { concurrency: 2 }, () => {
  it('installs what the lock pins, from a server over HTTP', async (t) => {
    const { platform, repo, root } = createRing(t);
    const server = await serveGit(t, dirname(repo));
    const url = `${server.url}/${repo.split('/').at(-1)}`;
    const { code, stdout } = await reconcileOnce({ repo: url, root });
    assert.equal(code, 0);
    assert.match(stdout, /^canary is converged at [0-9a-f]{12}, generation \d+ serves\n$/);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('upgrades what a commit changed and leaves every other module where it was', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    const before = realpathSync(join(root, 'current/Products'));
    release(platform, 'Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    await converge(ring);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
    assert.equal(realpathSync(join(root, 'current/Products')), before);
  });

  it('rolls back when the commit is reverted', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    const first = filesServed(root);
    release(platform, 'Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    await converge(ring);
    platform.git('revert', '--no-edit', 'HEAD');
    push(platform, 'HEAD');
    await converge(ring);
    assert.deepEqual(filesServed(root), first);
    const moves = readEvents(root)
      .filter(({ module }) => module === 'orders')
      .map(({ action, from, to }) => `${action} ${from} ${to}`);
    assert.deepEqual(moves, ['install null 1.0.0', 'upgrade 1.0.0 1.1.0', 'downgrade 1.1.0 1.0.0']);
  });

  it('says who made the change: the author of the commit that changed the lock', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    release(platform, 'Orders', '1.1.0');
    const deployed = deploy(platform, 'Orders 1.1.0');
    push(platform, platform.commit('Only a word in the README', { 'README.md': '# More\n' }));
    await converge(ring);
    const [event] = readEvents(root).filter(({ action }) => action === 'upgrade');
    assert.deepEqual(event?.['actor'], {
      name: 'Ada Developer <ada@example.com>',
      commit: deployed,
    });
  });

  it('removes a module that left the lock', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    platform.write({ 'modules/MobileApp': null });
    deploy(platform, 'Drop the mobile app');
    await converge(ring);
    assert.equal(existsSync(join(root, 'current/MobileApp')), false);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('refuses a lock that removes most modules, a missing lock and a missing ring', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    const served = filesServed(root);
    const breakages: Record<string, Record<string, string | null>> = {
      'mass-removal': {
        'manifests/canary.lock.json': JSON.stringify({ platform: '2.0.0', modules: {} }),
      },
      'lock-missing': { 'manifests/canary.lock.json': null },
      'ring-missing': { 'manifests/canary.ring.yaml': null },
    };
    for (const [code, files] of Object.entries(breakages)) {
      push(platform, platform.commit(`Break it: ${code}`, files));
      const result = await reconcileOnce(ring);
      assert.equal(result.code, 1, result.stderr);
      assert.equal(readStatusFile(root).last_error?.code, code);
      assert.deepEqual(filesServed(root), served);
    }
  });

  it('puts back a changed, an added and a deleted file', async (t) => {
    const ring = createRing(t);
    const { root } = ring;
    await converge(ring);
    const pinned = filesServed(root);
    const module = realpathSync(join(root, 'current/Orders'));
    const spoil: Record<string, () => void> = {
      changed: () => {
        chmodSync(join(module, 'CHANGELOG.md'), 0o644);
        appendFileSync(join(module, 'CHANGELOG.md'), 'tampered\n');
      },
      added: () => {
        const products = realpathSync(join(root, 'current/Products'));
        chmodSync(products, 0o755);
        writeFileSync(join(products, 'extra.php'), '<?php evil();');
      },
      deleted: () => {
        const mobile = realpathSync(join(root, 'current/MobileApp'));
        chmodSync(mobile, 0o755);
        rmSync(join(mobile, 'CHANGELOG.md'));
      },
    };
    for (const [what, act] of Object.entries(spoil)) {
      act();
      assert.notDeepEqual(filesServed(root), pinned, what);
      await converge(ring);
      assert.deepEqual(filesServed(root), pinned, what);
    }
    assert.equal(readEvents(root).filter(({ action }) => action === 'repair').length, 3);
  });

  it('stays on the last good generation while git is away, repairs drift, and goes on after', async (t) => {
    const ring = createRing(t);
    const { platform, repo, root } = ring;
    await converge(ring);
    const pinned = filesServed(root);
    const server = await serveGit(t, dirname(repo));
    const url = `${server.url}/${repo.split('/').at(-1)}`;
    const overHttp = { repo: url, root };
    assert.equal((await reconcileOnce(overHttp)).code, 0);
    server.setFault({ kind: 'status', status: 500 });
    const module = realpathSync(join(root, 'current/Orders'));
    chmodSync(join(module, 'CHANGELOG.md'), 0o644);
    appendFileSync(join(module, 'CHANGELOG.md'), 'tampered\n');
    const away = await reconcileOnce(overHttp);
    assert.equal(away.code, 3);
    assert.equal(readStatusFile(root).state, 'unreachable');
    assert.deepEqual(filesServed(root), pinned);
    server.setFault(undefined);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    assert.equal((await reconcileOnce(overHttp)).code, 0);
    assert.equal(readStatusFile(root).modules['orders'], '1.0.1');
  });

  it('refuses a commit whose modules cannot run together, once in the audit', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    const served = filesServed(root);
    const file = 'modules/Orders/module.json';
    const manifest = JSON.parse(platform.read(file));
    platform.write({
      [file]: JSON.stringify({
        ...manifest,
        version: '1.0.1',
        compatibility: { platform: '^99.0.0' },
      }),
    });
    deploy(platform, 'Orders for a platform to come');
    const { code, stderr } = await reconcileOnce(ring);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /orders 1\.0\.1 is incompatible: platform 2\.0\.0 does not satisfy \^99\.0\.0/,
    );
    assert.match(stderr, /communications cannot run because its dependency orders cannot/);
    assert.deepEqual(filesServed(root), served);
    assert.equal(readStatusFile(root).state, 'refused');
    await reconcileOnce(ring);
    assert.equal(readEvents(root).filter(({ outcome }) => outcome === 'refused').length, 1);
  });

  it('runs the rest under policy.incompatible: skip', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    const file = 'modules/Orders/module.json';
    const manifest = JSON.parse(platform.read(file));
    platform.write({
      [file]: JSON.stringify({
        ...manifest,
        compatibility: { platform: '^99.0.0' },
        version: '1.0.1',
      }),
      'manifests/ringlock.yaml': 'policy:\n  incompatible: skip\n',
    });
    deploy(platform, 'Orders for a platform to come');
    await converge(ring);
    assert.deepEqual(Object.keys(readStatusFile(root).modules), ['mobile-app', 'products']);
    const { modules, refused } = await loadModules(root);
    assert.deepEqual(
      modules.map(({ alias }) => alias),
      ['mobile-app', 'products'],
    );
    assert.deepEqual(
      refused.map(({ alias, kind, because }) => [alias, kind, because]),
      [
        ['communications', 'refused-dependency', 'orders'],
        ['orders', 'platform', null],
      ],
    );
  });

  it('refuses a rewritten branch, naming both commits, unless the pod says otherwise', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    release(platform, 'Orders', '1.0.1');
    const old = deploy(platform, 'Orders 1.0.1');
    await converge(ring);
    const served = filesServed(root);
    platform.git('reset', '-q', '--hard', 'HEAD~1');
    release(platform, 'Products', '1.0.1');
    platform.git('add', '-A');
    const rewritten = platform.commit('Another history');
    platform.git('push', '-q', '--no-verify', '--force', 'origin', 'HEAD');
    const refusal = await reconcileOnce(ring);
    assert.equal(refusal.code, 1);
    assert.ok(refusal.stderr.includes(old) && refusal.stderr.includes(rewritten), refusal.stderr);
    assert.deepEqual(filesServed(root), served);
    await converge(ring, '--allow-rewind');
    assert.equal(readStatusFile(root).converged_commit, rewritten);
  });

  it('refuses other bytes under a version that the ring has run', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    platform.change('Orders');
    deploy(platform, 'Change Orders, keep its version');
    const { code } = await reconcileOnce(ring);
    assert.equal(code, 1);
    assert.equal(readStatusFile(root).last_error?.code, 'released-bytes-changed');
  });

  it('does nothing while the ring is suspended', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    const served = filesServed(root);
    release(platform, 'Orders', '1.0.1');
    platform.write({
      'manifests/canary.ring.yaml': 'tracks: modules\nsuspended:\n  reason: an incident\n',
    });
    deploy(platform, 'Orders 1.0.1, and wait');
    await converge(ring);
    assert.equal(readStatusFile(root).state, 'suspended');
    assert.deepEqual(filesServed(root), served);
  });

  it('refuses a tag or a commit as the branch', async (t) => {
    const { platform, repo, root } = createRing(t);
    const commit = platform.git('rev-parse', 'HEAD');
    for (const branch of [commit, 'refs/tags/v1']) {
      const { code, stderr } = await reconcileOnce({ repo, root }, ['--branch', branch]);
      assert.equal(code, 2);
      assert.match(stderr, /a ring follows a branch/);
    }
  });

  it('makes real directories with --link hardlink', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring, '--link', 'hardlink');
    const module = join(root, 'current/Orders');
    assert.equal(realpathSync(module), join(realpathSync(join(root, 'current')), 'Orders'));
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('works in a root with spaces and other letters, inside another repository', async (t) => {
    const { platform, repo } = createRing(t);
    const root = join(createPlatform(t).path, 'Wurzel für canary 🌱');
    mkdirSync(root);
    await converge({ platform, repo, root });
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('keeps as many generations as it is told to', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    await converge(ring);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    await converge(ring);
    assert.deepEqual(readdirSync(join(root, 'generations')), ['000001', '000002']);
    await converge(ring, '--keep-generations', '1', '--retain-for', '1ms');
    assert.deepEqual(readdirSync(join(root, 'generations')), ['000002']);
    assert.equal((await reconcileOnce(ring, ['--keep-generations', '0'])).code, 2);
  });

  it('prints its status as one JSON document with --json', async (t) => {
    const { platform, repo, root } = createRing(t);
    const { stdout } = await reconcileOnce({ repo, root }, ['--json']);
    const status = JSON.parse(stdout);
    assert.equal(status.converged_commit, platform.git('rev-parse', 'HEAD'));
    assert.equal(status.state, 'converged');
  });
});
