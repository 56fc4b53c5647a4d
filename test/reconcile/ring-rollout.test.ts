import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { deploy, push, release, statusIfAny } from '../support/deploy.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { type Replica, type RingOptions, startReplica } from '../support/ring.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

interface Ring {
  readonly platform: Platform;
  readonly repo: string;
  readonly databaseUrl: string;
  readonly replicas: Replica[];
}

const settings = (more = '') =>
  `health:\n  url: http://127.0.0.1:1/\n  timeout: 3s\n  stableFor: 100ms\n  interval: 20ms\n${more}`;

/** Replicas that have all converged to the first commit. */
async function createRing(
  t: TestContext,
  count: number,
  options: Partial<RingOptions> = {},
  policy = '',
): Promise<Ring> {
  const platform = createPlatform(t);
  platform.write({ 'manifests/ringlock.yaml': settings(policy) });
  deploy(platform, 'Ask for health');
  const repo = platform.addRemote(t);
  const databaseUrl = await createDatabase();
  const started = Array.from({ length: count }, (_, index) =>
    startReplica(t, index, { repo, databaseUrl, ...options }),
  );
  const replicas = await Promise.all(started);
  await converged(replicas, platform.git('rev-parse', 'HEAD'));
  return { platform, repo, databaseUrl, replicas };
}

function converged(replicas: readonly Replica[], commit: string): Promise<unknown> {
  return waitUntil(
    `all converged to ${commit}`,
    () => replicas.every((replica) => statusIfAny(replica.root)?.converged_commit === commit),
    120_000,
  );
}

describe('a ring of many replicas', { concurrency: 1 }, () => {
  it('switches one replica first, then no more at once than may be unavailable', async (t) => {
    const { platform, replicas } = await createRing(t, 8);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    // From outside: a replica is unavailable from the moment `current` shows the new version until
    // its application has been healthy on it.
    const healthySince = new Set<string>();
    let most = 0;
    let firstAlone = true;
    await waitUntil(
      'all run it',
      async () => {
        const switched = replicas.filter((replica) => replica.served('Orders') === '1.0.1');
        for (const replica of switched) {
          const phase = (
            statusIfAny(replica.root) as { operation?: { phase: string } | null } | undefined
          )?.operation?.phase;
          if (phase === 'wait for the ring' || phase === undefined) healthySince.add(replica.name);
        }
        const between = switched.filter(({ name }) => !healthySince.has(name));
        most = Math.max(most, between.length);
        if (healthySince.size === 0 && switched.length > 1) firstAlone = false;
        return replicas.every((replica) => statusIfAny(replica.root)?.converged_commit === commit);
      },
      120_000,
    );
    assert.ok(firstAlone, 'more than one switched before the first was healthy');
    assert.ok(most <= 2, `${most} were unavailable at once`);
  });

  it('leaves the other replicas untouched when the first wave is sick', async (t) => {
    const { platform, replicas } = await createRing(t, 4, { sick: ['1.0.1'] });
    const shown = new Set<string>();
    const watch = setInterval(() => {
      for (const replica of replicas) {
        if (replica.served('Orders') === '1.0.1') shown.add(replica.name);
      }
    }, 5);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    await waitUntil(
      'all hold it',
      () => replicas.every((replica) => statusIfAny(replica.root)?.state === 'held'),
      60_000,
    );
    clearInterval(watch);
    assert.equal(shown.size, 1, [...shown].join());
    assert.ok(replicas.every((replica) => replica.served('Orders') === '1.0.0'));
  });

  it('is not blocked by a replica that dies in its turn', async (t) => {
    const { platform, replicas } = await createRing(t, 4);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    const first = await waitUntil(
      'one has switched',
      () => replicas.find((replica) => replica.served('Orders') === '1.0.1'),
      60_000,
    );
    first.watching.process.kill('SIGKILL');
    await converged(
      replicas.filter((replica) => replica !== first),
      commit,
    );
    first.restart();
    await converged(replicas, commit);
  });

  it('stops the waves at once when a newer commit comes, and never shows the old one elsewhere', async (t) => {
    const ring = await createRing(t, 4, {}, 'policy: {rollout: {maxUnavailable: 1}}\n');
    const { platform, replicas, databaseUrl } = ring;
    // It is never well for long enough, nor sick for long enough, to be judged soon.
    for (const { application } of replicas) application.sick.add('1.0.1');
    platform.write({
      'manifests/ringlock.yaml': settings().replace('timeout: 3s', 'timeout: 60s'),
    });
    const before = platform.commit('Judge slowly');
    push(platform, before);
    await converged(replicas, before);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    await waitUntil(
      'one has switched',
      () => replicas.some((replica) => replica.served('Orders') === '1.0.1'),
      60_000,
    );
    platform.git('revert', '--no-edit', 'HEAD');
    const reverted = push(platform, platform.git('rev-parse', 'HEAD'));
    await converged(replicas, reverted);
    assert.ok(replicas.every((replica) => replica.served('Orders') === '1.0.0'));
    const seen = () =>
      query<{ replica: string }>(
        databaseUrl,
        `select replica from audit_events where module = 'orders' and to_version = '1.0.1'`,
      );
    await waitUntil('its audit has arrived', async () => (await seen()).length > 0);
    assert.equal((await seen()).length, 1, 'a second replica switched to it');
  });
});
