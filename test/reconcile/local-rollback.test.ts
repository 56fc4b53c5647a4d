import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { deploy, readEvents, readStatusFile, reconcileOnce, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { freePort } from '../support/postgres.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

/** A root that ran Orders 1.0.0, 1.0.1 and 1.0.2. */
async function createRoot(t: TestContext) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  assert.equal((await reconcileOnce({ repo, root })).code, 0);
  for (const version of ['1.0.1', '1.0.2']) {
    release(platform, 'Orders', version);
    deploy(platform, `Orders ${version}`);
    assert.equal((await reconcileOnce({ repo, root })).code, 0);
  }
  return { platform, repo, root };
}

function rollback(root: string, ...more: string[]) {
  const args = ['rollback', 'orders', '--local', '--root', root, '--reason', 'refunds', ...more];
  return runCli(root, args);
}

describe('a local rollback', { concurrency: 2 }, () => {
  it('works with git and Postgres away, twice, and self-healing leaves it alone', async (t) => {
    const { root } = await createRoot(t);
    const away = `postgres://nobody@127.0.0.1:${await freePort()}/nowhere`;
    const gone = { repo: '/away/platform.git', root };
    const watching = startWatching(t, gone, ['--interval', '200ms'], { DATABASE_URL: away });
    const first = await rollback(root);
    assert.equal(first.code, 0, first.stderr + watching.log());
    assert.equal(servedVersion(root, 'Orders'), '1.0.1');
    assert.match(first.stdout, /unhold orders/);
    const second = await rollback(root);
    assert.equal(second.code, 0, second.stderr + watching.log());
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const { generation } = readStatusFile(root);
    // Several passes later it is still there.
    const passes = watching.log().split('remote').length;
    await waitUntil('it has tried again', () => {
      watching.process.kill('SIGHUP');
      return readStatusFile(root).generation === generation && watching.log().length > passes;
    });
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const third = await rollback(root);
    assert.equal(third.code, 1);
    assert.match(third.stderr, /had no version before 1\.0\.0/);
  });

  it('is shown, survives new commits of other modules, and ends with unhold', async (t) => {
    const { platform, repo, root } = await createRoot(t);
    const watching = startWatching(t, { repo, root }, ['--interval', '200ms']);
    const rolled = await rollback(root, '--to', '1.0.0');
    assert.equal(rolled.code, 0, rolled.stderr + watching.log());
    release(platform, 'MobileApp', '0.3.1');
    deploy(platform, 'MobileApp 0.3.1');
    await waitUntil(
      'the other module is deployed',
      () => servedVersion(root, 'MobileApp') === '0.3.1',
    );
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const status = await runCli(root, ['status', '--root', root]);
    assert.match(status.stdout, /holds orders at 1\.0\.0: refunds/);
    const unheld = await runCli(root, ['unhold', 'orders', '--local', '--root', root]);
    assert.equal(unheld.code, 0, unheld.stderr);
    await waitUntil('it follows the lock again', () => servedVersion(root, 'Orders') === '1.0.2');
    const acts = readEvents(root).filter(({ action }) => action === 'operator');
    assert.deepEqual(
      acts.map(({ module, to }) => `${module} ${to}`),
      ['orders 1.0.0', 'orders null'],
    );
  });

  it('names the versions that are kept when asked for another', async (t) => {
    const { root } = await createRoot(t);
    const { code, stderr } = await rollback(root, '--to', '0.9.0');
    assert.equal(code, 1);
    assert.match(stderr, /orders 0\.9\.0 is not kept in this root\n.*1\.0\.0, 1\.0\.1/);
  });

  it('names the steps down and runs none before it is told yes', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    assert.equal((await reconcileOnce({ repo, root })).code, 0);
    platform.write({
      'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
      'modules/Orders/migrations/0001_refunds.down.sql': 'drop table refunds;\n',
    });
    platform.setVersion('Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    assert.equal((await reconcileOnce({ repo, root })).code, 0);
    const { code, stdout, stderr } = await rollback(root, '--with-down');
    assert.equal(code, 2);
    assert.match(stdout, /down orders 0001_refunds/);
    assert.match(stderr, /--yes/);
    assert.equal(servedVersion(root, 'Orders'), '1.1.0');
  });
});

describe('an abort', () => {
  it('changes nothing when no operation is under way', async (t) => {
    const { repo, root } = await createRoot(t);
    startWatching(t, { repo, root }, ['--interval', '200ms']);
    const { code, stderr } = await runCli(root, ['abort', '--root', root, '--reason', 'too slow']);
    assert.equal(code, 0, stderr);
    await waitUntil('it is told', () =>
      readEvents(root).some(({ action }) => action === 'operator'),
    );
    assert.match(
      JSON.stringify(readEvents(root).at(-1)),
      /no operation of ring canary is under way/,
    );
    assert.equal(readStatusFile(root).state, 'converged');
    assert.equal(servedVersion(root, 'Orders'), '1.0.2');
  });
});
