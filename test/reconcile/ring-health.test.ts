import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { readStatusFile } from '../support/deploy.ts';
import { createOnceRing, type OnceRing } from '../support/once-ring.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { type Replica, startReplica } from '../support/ring.ts';

after(stopOwnPostgres);

const settings = (timeout: string, more = '') =>
  `health:\n  url: http://127.0.0.1:1/\n  timeout: ${timeout}\n  stableFor: 100ms\n  interval: 20ms\n${more}`;

const oneByOne = 'policy: {rollout: {maxUnavailable: 1}}\n';

const createRing = (t: TestContext, count: number, timeout: string, more = oneByOne) =>
  createOnceRing(t, { count, withHealth: true, settings: settings(timeout, more) });

/** Waits until one serves a version; that one. */
const firstOn = (ring: OnceRing, version: string): Promise<Replica> =>
  ring.until(`one serves ${version}`, () =>
    ring.replicas.find((replica) => replica.served('Orders') === version),
  );

async function operationStates(ring: OnceRing): Promise<string[]> {
  const rows = await query<{ state: string }>(
    ring.ringUrl,
    'select state from ring_operations order by created_at, id',
  );
  return rows.map(({ state }) => state);
}

describe('the health of a ring', { concurrency: 2 }, () => {
  it('is judged by those that are left when pods are killed during the gate', async (t) => {
    const ring = await createRing(t, 4, '60s');
    for (const { application } of ring.replicas) application.sick.add('1.1.0');
    const commit = ring.deploy('1.1.0');
    const first = await firstOn(ring, '1.1.0');
    const others = ring.replicas.filter((replica) => replica !== first);
    const [second] = others as [Replica];
    await first.watching.end('SIGKILL');
    await second.watching.end('SIGKILL');
    for (const { application } of ring.replicas) application.sick.clear();
    await ring.converged(
      commit,
      others.filter((replica) => replica !== second),
    );
    assert.equal((await operationStates(ring)).at(-1), 'committed');
    first.restart();
    second.restart();
    await ring.converged(commit);
  });

  it('degrades one pod only whose application is sick later', async (t) => {
    const ring = await createRing(t, 4, '2s');
    const commit = ring.deploy('1.1.0');
    // The first wave is well; of the others any one is sick.
    const first = await firstOn(ring, '1.1.0');
    const one = ring.replicas.findLast((replica) => replica !== first) as Replica;
    one.application.sick.add('1.1.0');
    await ring.until('one is degraded', () => readStatusFile(one.root).state === 'degraded');
    await ring.converged(
      commit,
      ring.replicas.filter((replica) => replica !== one),
    );
    assert.equal((await operationStates(ring)).at(-1), 'committed');
    assert.equal(one.served('Orders'), '1.1.0');
  });

  it('has a pod that comes meanwhile start on the last good versions, also after the revert', async (t) => {
    const ring = await createRing(t, 3, '4s');
    const { repo, ringUrl, applicationUrl, replicas } = ring;
    for (const { application } of replicas) application.sick.add('1.1.0');
    const environment = { DATABASE_URL: ringUrl, MIGRATIONS_DATABASE_URL: applicationUrl };
    ring.deploy('1.1.0', { migrations: ['0002_second'] });
    await firstOn(ring, '1.1.0');
    const more = { repo, environment, sick: ['1.1.0'] };
    const fresh = await startReplica(t, 8, more);
    await ring.until('it serves', () => fresh.served('Orders') !== undefined);
    assert.equal(fresh.served('Orders'), '1.0.1');
    const isHeld = ({ root }: Replica) => readStatusFile(root).state === 'held';
    await ring.until('all hold', () => [...replicas, fresh].every(isHeld));
    const late = await startReplica(t, 9, more);
    await ring.until('it holds too', () => late.served('Orders') === '1.0.1' && isHeld(late));
    // The step down is not marked as safe: the schema stays ahead, and says so.
    const rows = await ring.until('the schema is ahead', async () => {
      const found = await query(
        applicationUrl,
        `select name from module_migrations where ahead_since is not null`,
      );
      return found.length > 0 && found;
    });
    assert.deepEqual(rows, [{ name: '0002_second' }]);
  });
});

describe('ringlock abort', { concurrency: 2 }, () => {
  for (const by of ['--ring', '--root']) {
    it(`with ${by} stops the waves at once and takes back who has switched`, async (t) => {
      const ring = await createRing(t, 4, '10m');
      const { replicas, ringUrl, platform } = ring;
      for (const { application } of replicas) application.sick.add('1.1.0');
      ring.deploy('1.1.0');
      const first = await firstOn(ring, '1.1.0');
      const whom =
        by === '--root'
          ? ['--root', replicas.find((replica) => replica !== first)?.root ?? '']
          : ['--ring', 'canary', '--database-url', ringUrl];
      const args = ['abort', ...whom, '--reason', 'refunds fail'];
      const { code, stderr } = await runCli(platform.path, args);
      assert.equal(code, 0, stderr);
      await ring.until('it is back', () => first.served('Orders') === '1.0.1');
      await ring.until('all hold', () =>
        replicas.every(({ root }) => readStatusFile(root).state === 'held'),
      );
      const rows = await query<{ replica: string }>(
        ringUrl,
        `select distinct replica from audit_events where module = 'orders' and to_version = '1.1.0'`,
      );
      assert.ok(
        rows.every(({ replica }) => replica === first.name),
        JSON.stringify(rows),
      );
      assert.match(readStatusFile(first.root).last_error?.message ?? '', /refunds fail/);
    });
  }
});
