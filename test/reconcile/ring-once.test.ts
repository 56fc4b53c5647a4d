import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { runCli } from '../support/cli.ts';
import { readStatusFile } from '../support/deploy.ts';
import { isAlive } from '../support/handler-log.ts';
import {
  createOnceRing,
  letMigrate,
  type OnceRing,
  runnerOf,
  runsOf,
  stepsOf,
} from '../support/once-ring.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { holdTable, query } from '../support/query.ts';
import type { Replica } from '../support/ring.ts';

after(stopOwnPostgres);

const upgrade = 'handler orders onUpgrade';

const kill = ({ watching }: Replica) => watching.end('SIGKILL');

/** The one that has begun the last operation. */
async function leaderOf(ring: OnceRing): Promise<Replica> {
  return ring.until('an operation is rolling', async () => {
    const [row] = await query<{ leader: string }>(
      ring.ringUrl,
      `select leader from ring_operations where state = 'rolling'`,
    );
    return ring.replicas.find(({ name }) => name === row?.leader);
  });
}

describe('a migration whose leader is killed', { concurrency: 2 }, () => {
  it('runs once, killed before, during and after', async (t) => {
    const ring = await createOnceRing(t);
    const { applicationUrl } = ring;
    const names = ['0002_second', '0003_third', '0004_fourth'];
    const release = await holdTable(t, applicationUrl, 'module_migrations');
    const commit = ring.deploy('1.1.0', { migrations: names, held: true });
    const before = await runnerOf(ring, 'migrate');
    await kill(before);
    await release();
    before.restart();
    for (const name of names.slice(0, 2)) {
      await ring.until(`${name} runs`, () => isRunning(applicationUrl, name));
      const during = await runnerOf(ring, 'migrate');
      await kill(during);
      await letMigrate(ring, name);
      during.restart();
    }
    // After: the database has it, and the ring does not know yet.
    await ring.until('the last runs', () => isRunning(applicationUrl, '0004_fourth'));
    const after = await runnerOf(ring, 'migrate');
    const hold = await holdTable(t, ring.ringUrl, 'ring_steps');
    await letMigrate(ring, '0004_fourth');
    await ring.until('it is applied', async () => (await runsOf(ring, '0004_fourth')) === 1);
    await kill(after);
    await hold();
    after.restart();
    await ring.converged(commit);
    for (const name of names) assert.equal(await runsOf(ring, name), 1, name);
    const steps = await stepsOf(ring, 'migrate');
    const states = steps.map(({ state }) => state);
    assert.equal(states.filter((state) => state === 'succeeded').length, 2, states.join());
    assert.ok(states.filter((state) => state === 'interrupted').length >= 3, states.join());
  });
});

describe('a handler whose leader is killed', { concurrency: 2 }, () => {
  it('runs again when it is idempotent, never two at once, and not once it is done', async (t) => {
    const ring = await createOnceRing(t, { migrations: [] });
    const { log } = ring;
    // Before: nothing of it has begun.
    const release = await holdTable(t, ring.ringUrl, 'ring_steps');
    const first = ring.deploy('1.1.0', { handler: 'idempotent' });
    const before = await leaderOf(ring);
    await ring.until('the leader is at its handlers', () => phaseOf(before.root) === 'handlers');
    await kill(before);
    await release();
    before.restart();
    await ring.converged(first);
    assert.equal(log.story('1.1.0'), 'begin end');
    // During: what was cut off ends with its reconciler, and is begun again.
    log.hold();
    const second = ring.deploy('1.2.0', { handler: 'idempotent' });
    const pid = await ring.until('it has begun', () => log.runs('1.2.0')[0]?.pid);
    const during = await runnerOf(ring, upgrade);
    await kill(during);
    await ring.until('the handler has ended with it', () => !isAlive(pid));
    log.letGo();
    during.restart();
    await ring.converged(second);
    assert.equal(log.story('1.2.0'), 'begin begin end');
    const steps = await stepsOf(ring, upgrade);
    assert.deepEqual(
      steps.slice(-2).map(({ attempt, state }) => `${attempt} ${state}`),
      ['1 interrupted', '2 succeeded'],
    );
    // After: it is recorded, and nobody runs it again.
    const third = ring.deploy('1.3.0', { handler: 'idempotent' });
    const runner = await ring.until('it is done', async () => {
      const step = (await stepsOf(ring, upgrade)).at(-1);
      if (log.story('1.3.0') !== 'begin end' || step?.state !== 'succeeded') return undefined;
      return ring.replicas.find(({ name }) => name === step.replica);
    });
    runner.restart();
    await ring.converged(third);
    assert.equal(log.story('1.3.0'), 'begin end');
  });

  it('turns the ring back, naming it, when it is not idempotent; retry lets it go', async (t) => {
    const ring = await createOnceRing(t, { migrations: [] });
    const { log, replicas } = ring;
    log.hold();
    const commit = ring.deploy('1.1.0', { handler: 'once' });
    await ring.until('it has begun', () => log.runs('1.1.0').length > 0);
    const runner = await runnerOf(ring, upgrade);
    await kill(runner);
    log.letGo();
    runner.restart();
    await ring.until('all turn back', () =>
      replicas.every(({ root }) => readStatusFile(root).state === 'held'),
    );
    assert.ok(replicas.every(({ served }) => served('Orders') === '1.0.1'));
    assert.equal(log.story('1.1.0'), 'begin');
    for (const { root } of replicas) {
      assert.match(
        readStatusFile(root).last_error?.message ?? '',
        /handler orders onUpgrade .* was cut off/,
      );
    }
    assert.deepEqual(
      (await stepsOf(ring, upgrade)).map(({ state }) => state),
      ['interrupted'],
    );
    const args = ['retry', '--ring', 'canary', '--database-url', ring.ringUrl];
    const retried = await runCli(ring.platform.path, args);
    assert.equal(retried.code, 0, retried.stderr);
    await ring.converged(commit);
    assert.equal(log.story('1.1.0'), 'begin begin end');
  });
});

async function isRunning(url: string, name: string): Promise<boolean> {
  const rows = await query(
    url,
    `select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
     and datname = current_database() and query like '%''${name}''%'`,
  );
  return rows.length > 0;
}

function phaseOf(root: string): string | undefined {
  const status = readStatusFile(root) as { readonly operation?: { readonly phase: string } | null };
  return status.operation?.phase;
}
