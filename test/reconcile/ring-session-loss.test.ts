import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { onEnd } from '../support/cleanup.ts';
import { isAlive } from '../support/handler-log.ts';
import {
  createOnceRing,
  letMigrate,
  type OnceRing,
  runnerOf,
  runsOf,
  stepsOf,
} from '../support/once-ring.ts';
import { createDatabase, startPostgres, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

after(stopOwnPostgres);

const upgrade = 'handler orders onUpgrade';

/** Begins an idempotent handler that is held back; its process. */
async function beginHandler(ring: OnceRing, version: string) {
  ring.log.hold();
  const commit = ring.deploy(version, { handler: 'idempotent' });
  const pid = await ring.until('it has begun', () => ring.log.runs(version)[0]?.pid);
  return { commit, pid, runner: await runnerOf(ring, upgrade) };
}

/** It was cut off, ended, and only then run again, once. */
async function assertRunAgain(ring: OnceRing, version: string): Promise<void> {
  assert.equal(ring.log.story(version), 'begin begin end');
  const states = (await stepsOf(ring, upgrade)).slice(-2).map(({ state }) => state);
  assert.deepEqual(states, ['interrupted', 'succeeded']);
}

describe('a ring whose leader loses its database session', { concurrency: 2 }, () => {
  it('runs nothing twice when Postgres restarts, and goes on', async (t) => {
    const server = await startPostgres();
    onEnd(t, () => server.stop());
    const [ringUrl, applicationUrl] = [await createDatabase(server), await createDatabase(server)];
    const ring = await createOnceRing(t, { ringUrl, applicationUrl });
    const migrated = ring.deploy('1.1.0', { migrations: ['0002_second'], held: true });
    await runnerOf(ring, 'migrate');
    await server.pause();
    await server.resume();
    await letMigrate(ring, '0002_second');
    await ring.converged(migrated);
    assert.equal(await runsOf(ring, '0002_second'), 1);
    const { commit, pid } = await beginHandler(ring, '1.2.0');
    await server.pause();
    await ring.until('the handler is given up', () => !isAlive(pid));
    ring.log.letGo();
    await server.resume();
    await ring.converged(commit);
    await assertRunAgain(ring, '1.2.0');
  });

  it('never runs two at once when its sessions are terminated', async (t) => {
    const ring = await createOnceRing(t, { migrations: [] });
    const { commit, pid } = await beginHandler(ring, '1.1.0');
    await query(
      ring.ringUrl,
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    await ring.until('the handler is given up', () => !isAlive(pid));
    ring.log.letGo();
    await ring.converged(commit);
    await assertRunAgain(ring, '1.1.0');
  });

  it('gives its handler up in time when the network goes silent', async (t) => {
    const ringUrl = await createDatabase();
    const proxies = await Promise.all([0, 1, 2].map(() => startTcpProxy(t, ringUrl)));
    const urlOf = (index: number) => proxies[index]?.url ?? ringUrl;
    const ring = await createOnceRing(t, { ringUrl, urlOf, migrations: [] });
    const { commit, pid, runner } = await beginHandler(ring, '1.1.0');
    const proxy = proxies[ring.replicas.indexOf(runner)];
    proxy?.stall();
    const since = performance.now();
    await ring.until('the handler is given up', () => !isAlive(pid));
    // A server's keepalive ends the session after 11 s: by then nothing of it may be alive.
    await delay(Math.max(0, 11_000 - (performance.now() - since)));
    assert.equal(ring.log.story('1.1.0'), 'begin');
    proxy?.dropServerSide();
    ring.log.letGo();
    const others = ring.replicas.filter((replica) => replica !== runner);
    await ring.until('others run it', () => ring.log.story('1.1.0') === 'begin begin end');
    proxy?.heal();
    await ring.converged(commit, others);
    await ring.converged(commit);
    await assertRunAgain(ring, '1.1.0');
  });

  it('goes on after resets in the middle of a migration', async (t) => {
    const ringUrl = await createDatabase();
    const proxies = await Promise.all([0, 1, 2].map(() => startTcpProxy(t, ringUrl)));
    const ring = await createOnceRing(t, { ringUrl, urlOf: (i) => proxies[i]?.url ?? ringUrl });
    const commit = ring.deploy('1.1.0', { migrations: ['0002_second'], held: true });
    const runner = await runnerOf(ring, 'migrate');
    const proxy = proxies[ring.replicas.indexOf(runner)];
    proxy?.reset();
    await ring.until('another takes over', async () => {
      const last = (await stepsOf(ring, 'migrate')).at(-1);
      return last?.state === 'started' && last.replica !== runner.name;
    });
    proxy?.heal();
    await letMigrate(ring, '0002_second');
    await ring.converged(commit);
    assert.equal(await runsOf(ring, '0002_second'), 1);
  });
});
