import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { deploy, readStatusFile, release } from '../support/deploy.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { gitEnvironment } from '../support/repository.ts';
import { type Replica, startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

interface Known {
  readonly platform: Platform;
  readonly repo: string;
  readonly databaseUrl: string;
  readonly replica: Replica;
  /** A pod with an empty root and the same database. */
  startFresh(from?: string, sick?: readonly string[]): Promise<Replica>;
}

/** A ring that went from its first commit to Orders 1.0.1. */
async function createKnownRing(t: TestContext, sick: readonly string[] = []): Promise<Known> {
  const platform = createPlatform(t);
  platform.write({
    'manifests/ringlock.yaml':
      'health:\n  url: http://127.0.0.1:1/\n  timeout: 2s\n  stableFor: 50ms\n  interval: 20ms\n',
  });
  deploy(platform, 'Ask for health');
  const repo = platform.addRemote(t);
  const databaseUrl = await createDatabase();
  const replica = await startReplica(t, 0, { repo, databaseUrl, sick });
  await converged(replica, platform.git('rev-parse', 'HEAD'));
  release(platform, 'Orders', '1.0.1');
  const commit = deploy(platform, 'Orders 1.0.1');
  if (!sick.includes('1.0.1')) await converged(replica, commit);
  const startFresh: Known['startFresh'] = (from = repo, more = sick) =>
    startReplica(t, 9, { repo: from, databaseUrl, sick: more });
  return { platform, repo, databaseUrl, replica, startFresh };
}

const converged = (replica: Replica, commit: string) =>
  said(replica, `converged to ${commit}`, (status) => status.converged_commit === commit);

/** Waits for a status, and says what the replica logged when it is in vain. */
function said(
  { root, watching }: Replica,
  what: string,
  is: (status: ReturnType<typeof readStatusFile>) => boolean,
): Promise<unknown> {
  return waitUntil(what, () => is(statusOf(root)), 60_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(statusOf(root))}\n${watching.tail()}`);
  });
}

function statusOf(root: string): ReturnType<typeof readStatusFile> {
  try {
    return readStatusFile(root);
  } catch {
    return {} as ReturnType<typeof readStatusFile>;
  }
}

describe('a pod with an empty root in a ring that is known', { concurrency: 2 }, () => {
  it('refuses a branch that was rewound, or went elsewhere', async (t) => {
    const { platform, startFresh } = await createKnownRing(t);
    platform.git('reset', '-q', '--hard', 'HEAD^');
    platform.git('push', '-q', '--force', '--no-verify', 'origin', 'HEAD');
    const fresh = await startFresh();
    const isRefused = () =>
      said(fresh, 'refused', ({ last_error }) => last_error?.code === 'branch-rewritten');
    await isRefused();
    assert.equal(fresh.served('Orders'), undefined);
    release(platform, 'Orders', '1.0.7');
    deploy(platform, 'Another Orders');
    await isRefused();
    assert.equal(fresh.served('Orders'), undefined);
  });

  it('does not go to what a lagging mirror has', async (t) => {
    const { platform, repo, startFresh } = await createKnownRing(t);
    const mirror = temporaryDirectory(t, 'mirror.git');
    execFileSync('git', ['clone', '-q', '--bare', repo, mirror], { env: gitEnvironment });
    const env = gitEnvironment;
    execFileSync('git', ['-C', mirror, 'update-ref', 'refs/heads/main', 'HEAD^'], { env });
    execFileSync('git', ['-C', mirror, 'gc', '-q', '--prune=now'], { env });
    const fresh = await startFresh(mirror);
    // It cannot know that the mirror only lags: it has not the ring's commit.
    await said(fresh, 'refused', ({ last_error }) => last_error?.code === 'other-repository');
    assert.notEqual(fresh.served('Orders'), '1.0.0');
    // It catches up, and the pod with it.
    platform.git('push', '-q', '--no-verify', mirror, 'HEAD:main');
    await converged(fresh, platform.git('rev-parse', 'HEAD'));
    assert.equal(fresh.served('Orders'), '1.0.1');
  });

  it('obeys a hold that was made on another replica', async (t) => {
    const { replica, startFresh } = await createKnownRing(t);
    const { root } = replica;
    const args = ['rollback', 'orders', '--local', '--root', root, '--reason', 'refunds'];
    const rolled = await runCli(root, args);
    assert.equal(rolled.code, 0, rolled.stderr);
    const fresh = await startFresh();
    await said(fresh, 'held', ({ state }) => state === 'held' || state === 'converged');
    assert.equal(fresh.served('Orders'), '1.0.0');
    assert.match(JSON.stringify(statusOf(fresh.root)), /refunds/);
  });

  it('does not deploy a set that failed', async (t) => {
    const { replica, startFresh } = await createKnownRing(t, ['1.0.1']);
    await said(replica, 'held', ({ state }) => state === 'held');
    const fresh = await startFresh(undefined, []);
    await said(fresh, 'held', ({ state }) => state === 'held');
    assert.equal(fresh.served('Orders'), '1.0.0');
    assert.doesNotMatch(fresh.watching.log(), /orders.* to=1\.0\.1/);
  });
});
