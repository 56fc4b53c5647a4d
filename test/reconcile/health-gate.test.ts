import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { serveApplication, type TestApplication } from '../support/application.ts';
import { runCli } from '../support/cli.ts';
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
import { createPlatform, type Platform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Pod {
  readonly platform: Platform;
  readonly repo: string;
  readonly root: string;
  readonly application: TestApplication;
  pass(ring?: string): ReturnType<typeof reconcileOnce>;
}

/** A pod whose application is healthy on what was first installed. */
async function createPod(t: TestContext, sick: readonly string[], ring = 'canary'): Promise<Pod> {
  const platform = createPlatform(t);
  platform.write({
    'manifests/ringlock.yaml':
      'health:\n  url: http://127.0.0.1:1/\n  timeout: 1500ms\n  stableFor: 50ms\n  interval: 20ms\n',
  });
  deploy(platform, 'Ask for health');
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  const application = await serveApplication(t, root, sick);
  const { url } = application;
  const pass = () =>
    reconcileOnce({ repo, root, ring }, ['--health-url', url, '--notify-url', `${url}/reload`]);
  const first = await pass();
  assert.equal(first.code, 0, first.stderr);
  return { platform, repo, root, application, pass };
}

const story = (root: string) =>
  readEvents(root).map(({ action, module, from, to, outcome }) =>
    [action, module, from, to, outcome].filter((part) => part !== null).join(' '),
  );

describe('health gate', { concurrency: 2 }, () => {
  it('commits a version that comes up well, and tells the application of the switch', async (t) => {
    const { platform, root, application, pass } = await createPod(t, []);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    const { code, stderr } = await pass();
    assert.equal(code, 0, stderr);
    assert.equal(application.loaded(), '1.0.1');
    assert.equal(application.notified.at(-1)?.['commit'], commit);
    assert.equal(readStatusFile(root).state, 'converged');
  });

  it('reverts a version that comes up sick, and keeps it out while the rest is deployed', async (t) => {
    const { platform, root, application, pass } = await createPod(t, ['1.0.1']);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const { code } = await pass();
    assert.equal(code, 1);
    assert.equal(application.loaded(), '1.0.0');
    const { state, modules } = readStatusFile(root);
    assert.equal(state, 'held');
    assert.equal(modules['orders'], '1.0.0');
    const told = story(root);
    assert.ok(told.includes('upgrade orders 1.0.0 1.0.1 succeeded'), told.join('\n'));
    assert.ok(told.includes('upgrade orders 1.0.0 1.0.1 reverted'), told.join('\n'));
    assert.ok(told.includes('operation reverted'), told.join('\n'));
    // An unrelated commit is deployed; the failed set still is not.
    release(platform, 'MobileApp', '0.3.1');
    deploy(platform, 'MobileApp 0.3.1');
    assert.equal((await pass()).code, 1);
    const { modules: after } = readStatusFile(root);
    assert.deepEqual([after['orders'], after['mobile-app']], ['1.0.0', '0.3.1']);
    // A new version of the failed module is a new set.
    release(platform, 'Orders', '1.0.2');
    deploy(platform, 'Orders 1.0.2');
    const mended = await pass();
    assert.equal(mended.code, 0, mended.stderr);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('refuses the whole commit in a pinned ring, also a later one that contains it', async (t) => {
    const { platform, root, pass } = await createPod(t, ['1.0.1'], 'edge');
    release(platform, 'Orders', '1.0.1');
    release(platform, 'MobileApp', '0.3.1');
    deploy(platform, 'Versions');
    const promote = (alias: string) => {
      const promoted = platform.git('show', 'HEAD:manifests/canary.lock.json');
      const edge = JSON.parse(platform.read('manifests/edge.lock.json'));
      edge.modules[alias] = JSON.parse(promoted).modules[alias];
      platform.write({ 'manifests/edge.lock.json': `${JSON.stringify(edge, null, 2)}\n` });
      return push(platform, platform.commit(`Promote ${alias}`));
    };
    promote('orders');
    assert.equal((await pass()).code, 1);
    promote('mobile-app');
    const second = await pass();
    assert.equal(second.code, 1);
    assert.match(second.stderr, /orders@1\.0\.1/);
    const { modules, state, last_error } = readStatusFile(root);
    assert.deepEqual([modules['orders'], modules['mobile-app']], ['1.0.0', '0.3.0']);
    assert.equal(state, 'refused');
    assert.equal(last_error?.code, 'failed-before');
  });

  it('tries again after ringlock retry', async (t) => {
    const { platform, root, application, pass } = await createPod(t, ['1.0.1']);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    assert.equal((await pass()).code, 1);
    application.sick.clear();
    assert.equal((await pass()).code, 1, 'not by itself');
    const retried = await runCli(root, ['retry', '--root', root, '--no-wait']);
    assert.equal(retried.code, 0, retried.stderr);
    const { code, stderr } = await pass();
    assert.equal(code, 0, stderr);
    assert.equal(application.loaded(), '1.0.1');
  });

  it('does not hold an application that was already unhealthy against its own fix', async (t) => {
    const { platform, application, pass, root } = await createPod(t, []);
    application.setDown(true);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const { code, stderr } = await pass();
    assert.equal(code, 0, stderr);
    assert.equal(readStatusFile(root).modules['orders'], '1.0.1');
    const operation = readEvents(root).findLast(({ action }) => action === 'operation');
    assert.match(JSON.stringify(operation), /"health":"abstained"/);
  });

  it('stops as degraded when the application is not well after the revert either', async (t) => {
    const { platform, application, pass, root } = await createPod(t, ['1.0.1']);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    application.sick.add('1.0.1');
    const passing = pass();
    // The database behind the application dies while the new version is judged.
    while (application.loaded() !== '1.0.1') await new Promise((resolve) => setTimeout(resolve, 5));
    application.setDown(true);
    assert.equal((await passing).code, 3);
    const { state, modules } = readStatusFile(root);
    assert.equal(state, 'degraded');
    assert.equal(modules['orders'], '1.0.0');
  });
});
