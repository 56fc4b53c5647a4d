import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { deploy, filesLockedAt, filesServed, release, statusIfAny } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { freePort } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

function createRing(t: TestContext) {
  const platform = createPlatform(t);
  return { platform, repo: platform.addRemote(t), root: temporaryDirectory(t, 'root') };
}

const convergedTo = (root: string, commit: string) =>
  waitUntil(`${commit} has converged`, () => statusIfAny(root)?.converged_commit === commit);

describe('reconcile --watch', { concurrency: 2 }, () => {
  it('follows the branch commit by commit and exits 0 on SIGTERM', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    const watching = startWatching(t, ring, ['--interval', '100ms']);
    for (const version of ['1.0.1', '1.0.2']) {
      release(platform, 'Orders', version);
      await convergedTo(root, deploy(platform, `Orders ${version}`));
    }
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
  });

  it('makes a pass at once on SIGHUP', async (t) => {
    const ring = createRing(t);
    const { platform, root } = ring;
    const watching = startWatching(t, ring, ['--interval', '1h']);
    await convergedTo(root, platform.git('rev-parse', 'HEAD'));
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    watching.process.kill('SIGHUP');
    await convergedTo(root, commit);
    assert.equal(await watching.end('SIGTERM'), 0);
  });

  it('answers health checks: alive at once, ready once a generation serves', async (t) => {
    const ring = createRing(t);
    const listen = `127.0.0.1:${await freePort()}`;
    startWatching(t, { ...ring, ring: 'edge' }, ['--interval', '100ms', '--listen', listen]);
    const get = (path: string) => fetch(`http://${listen}${path}`).catch(() => undefined);
    await waitUntil('it lives', async () => (await get('/healthz'))?.ok);
    await waitUntil('it is ready', async () => (await get('/readyz'))?.ok);
    await convergedTo(ring.root, ring.platform.git('rev-parse', 'HEAD'));
    const health = (await (await get('/api/health'))?.json()) as Record<string, unknown>;
    assert.deepEqual(health['ring'], { name: 'edge', lock_path: 'manifests/edge.lock.json' });
    assert.equal(health['state'], 'converged');
    assert.equal(health['commit'], ring.platform.git('rev-parse', 'HEAD'));
    assert.equal(typeof health['generation'], 'number');
    assert.equal((await get('/nowhere'))?.status, 404);
  });

  it('is alive but not ready while nothing serves, and never gives up', async (t) => {
    const ring = createRing(t);
    const listen = `127.0.0.1:${await freePort()}`;
    const away = { repo: '/nowhere/platform.git', root: ring.root };
    const watching = startWatching(t, away, ['--interval', '50ms', '--listen', listen]);
    const get = (path: string) => fetch(`http://${listen}${path}`).catch(() => undefined);
    await waitUntil('it says why', () => statusIfAny(ring.root)?.last_error?.message);
    assert.equal((await get('/healthz'))?.status, 200);
    assert.equal((await get('/readyz'))?.status, 503);
    assert.equal(watching.process.exitCode, null);
  });

  it('refuses a second process on the same root, naming the owner', async (t) => {
    const ring = createRing(t);
    const first = startWatching(t, ring, ['--interval', '1h']);
    await convergedTo(ring.root, ring.platform.git('rev-parse', 'HEAD'));
    const second = startWatching(t, ring, ['--interval', '1h']);
    const code = await new Promise((resolve) => second.process.once('close', resolve));
    assert.notEqual(code, 0);
    assert.match(second.log(), new RegExp(`\\b${first.process.pid}\\b`));
  });
});
