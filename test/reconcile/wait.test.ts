import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { deploy, push, reconcileOnce, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A ring that has converged to its first commit and reports to a database. */
async function createRing(t: TestContext) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  const DATABASE_URL = await createDatabase();
  const reconcile = () => reconcileOnce({ repo, root }, [], { DATABASE_URL });
  assert.equal((await reconcile()).code, 0);
  const wait = (commit: string, timeout: string) =>
    runCli(
      platform.path,
      ['wait', '--ring', 'canary', '--commit', commit, '--timeout', timeout, '--poll', '50ms'],
      { DATABASE_URL },
    );
  return { platform, root, reconcile, wait };
}

describe('ringlock wait', { concurrency: 2 }, () => {
  after(stopOwnPostgres);

  it('ends well once the ring has converged, also to a descendant with the change', async (t) => {
    const { platform, reconcile, wait } = await createRing(t);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    const waiting = wait(commit, '60s');
    push(platform, platform.commit('Only a word in the README', { 'README.md': '# More\n' }));
    assert.equal((await reconcile()).code, 0);
    const { code, stdout, stderr } = await waiting;
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`canary has converged to ${commit.slice(0, 12)}`));
  });

  it('says who is behind when the time is over', async (t) => {
    const { platform, wait } = await createRing(t);
    release(platform, 'Orders', '1.0.1');
    const { code, stderr } = await wait(deploy(platform, 'Orders 1.0.1'), '200ms');
    assert.equal(code, 1);
    assert.match(stderr, /has not converged in canary in time: .+ is converged at [0-9a-f]{12}/);
  });

  it('fails at once when the commit was refused', async (t) => {
    const { platform, reconcile, wait } = await createRing(t);
    platform.change('Orders');
    const commit = deploy(platform, 'Other bytes under a version that ran');
    assert.equal((await reconcile()).code, 1);
    const { code, stderr } = await wait(commit, '1h');
    assert.equal(code, 1);
    assert.match(stderr, /will not converge in canary: .* refused/);
  });

  it('fails at once when the change was undone', async (t) => {
    const { platform, reconcile, wait } = await createRing(t);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    platform.git('revert', '--no-edit', 'HEAD');
    push(platform, 'HEAD');
    assert.equal((await reconcile()).code, 0);
    const { code, stderr } = await wait(commit, '1h');
    assert.equal(code, 1);
    assert.match(stderr, /changed again/);
  });

  it('says what is wrong with its arguments', async (t) => {
    const { path } = createPlatform(t);
    const unknown = await runCli(path, [
      ...['wait', '--ring', 'canary', '--commit', 'nowhere', '--root', path],
    ]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /nowhere is not a commit/);
    const noSource = await runCli(path, ['wait', '--ring', 'canary']);
    assert.equal(noSource.code, 2);
  });
});
