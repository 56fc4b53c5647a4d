import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { deploy, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { HandlerLog, isAlive } from '../support/handler-log.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { type Replica, startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

interface Host {
  readonly platform: Platform;
  readonly log: HandlerLog;
  readonly replicas: readonly Replica[];
  deploy(version: string, idempotent: boolean): string;
  converged(commit: string, which?: readonly Replica[]): Promise<unknown>;
}

/** Two replicas on one host that share a directory instead of a database. */
async function createHost(t: TestContext): Promise<Host> {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const log = new HandlerLog(temporaryDirectory(t, 'handlers'));
  const more = ['--replicas', '2', '--ring-state', temporaryDirectory(t, 'ring-state')];
  const start = (index: number) => startReplica(t, index, { repo, more, withHealth: false });
  const replicas = await Promise.all([start(0), start(1)]);
  const converged: Host['converged'] = (commit, which = replicas) =>
    waitUntil(
      `all converged to ${commit}`,
      () => which.every(({ root }) => isAt(root, commit)),
      60_000,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${replicas.map((r) => r.watching.log()).join('\n---\n')}`);
    });
  await converged(platform.git('rev-parse', 'HEAD'));
  return {
    ...{ platform, log, replicas, converged },
    deploy: (version, idempotent) => {
      const path = 'modules/Orders/module.json';
      const onUpgrade = { run: 'lifecycle/tell.mjs', idempotent };
      const manifest = { ...JSON.parse(platform.read(path)), version, lifecycle: { onUpgrade } };
      platform.write({
        [path]: `${JSON.stringify(manifest, null, 2)}\n`,
        'modules/Orders/lifecycle/tell.mjs': log.code(),
      });
      return deploy(platform, `Orders ${version}`);
    },
  };
}

describe('replicas without a database', { concurrency: 2 }, () => {
  it('are refused where they cannot agree, with the reason', async (t) => {
    const repo = createPlatform(t).addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const { code, stderr } = await reconcileOnce({ repo, root }, ['--replicas', '2']);
    assert.equal(code, 2);
    assert.match(stderr, /--replicas is 2, but there is no database/);
    assert.match(stderr, /DATABASE_URL.*--ring-state/);
  });

  it('run a handler once through a shared directory, also when one comes much later', async (t) => {
    const { log, deploy: release, converged, replicas } = await createHost(t);
    const [first, second] = replicas as [Replica, Replica];
    await converged(release('1.1.0', false));
    assert.equal(log.story('1.1.0'), 'begin end');
    await second.watching.end('SIGKILL');
    const commit = release('1.2.0', false);
    await converged(commit, [first]);
    second.restart();
    await converged(commit);
    assert.equal(log.story('1.2.0'), 'begin end');
  });

  it('run it again when the one that ran it is killed, if it may run twice', async (t) => {
    const { log, deploy: release, converged, replicas } = await createHost(t);
    log.hold();
    const commit = release('1.1.0', true);
    const run = await waitUntil('it has begun', () => log.runs('1.1.0')[0], 60_000);
    const runner = replicas.find(({ watching }) => watching.process.pid === run.parent);
    await runner?.watching.end('SIGKILL');
    await waitUntil('the handler has ended', () => !isAlive(run.pid));
    log.letGo();
    await converged(
      commit,
      replicas.filter((replica) => replica !== runner),
    );
    runner?.restart();
    await converged(commit);
    assert.equal(log.story('1.1.0'), 'begin begin end');
  });
});

function isAt(root: string, commit: string): boolean {
  try {
    const { converged_commit, state } = readStatusFile(root);
    return converged_commit === commit && state === 'converged';
  } catch {
    return false;
  }
}
