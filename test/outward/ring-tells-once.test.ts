import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { withDatabase } from '../../src/audit/database.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import type { WithClient } from '../../src/outward/claims.ts';
import { statusReceiver } from '../../src/outward/status-receiver.ts';
import { webhookReceiver } from '../../src/outward/webhook-receiver.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { waitUntil } from '../support/wait-until.ts';
import { forgeToken, serveGitlab } from './forges.ts';
import { type StandIn, standIn } from './stand-in.ts';
import {
  commitOf,
  convergedAt,
  refusedAt,
  signingSecret,
  startTeller,
  type Teller,
  type TellerOptions,
  verified,
} from './support.ts';

after(stopOwnPostgres);

const through =
  (url: string): WithClient =>
  (use) =>
    withDatabase(url, async (client) => {
      await ensureSchema(client);
      return use(client);
    });

/** Replicas of one ring, each with its own disk, that tell one webhook. */
async function startReplicas(
  t: TestContext,
  { count = 2, database, ...options }: TellerOptions & { count?: number; database?: string } = {},
): Promise<{ server: StandIn; replicas: Teller[]; start(name: string): Promise<Teller> }> {
  const withClient = through(database ?? (await createDatabase()));
  const server = await standIn(t);
  const environment = { RINGLOCK_WEBHOOK_SIGNING_SECRET: signingSecret };
  const start = (replica: string) =>
    startTeller(t, [webhookReceiver(server.url, environment)], { withClient, replica, ...options });
  const names = Array.from({ length: count }, (_, index) => `pod-${index}`);
  return { server, start, replicas: await Promise.all(names.map(start)) };
}

const told = ({ received }: StandIn) =>
  received.map((request) => {
    const { type, data } = verified(request);
    return `${type} ${data.commit.slice(0, 1)} by ${data.replica}`;
  });

describe('the replicas of a ring with a database', { concurrency: true }, () => {
  it('tell the same once, whoever comes first, and a pod with a fresh disk tells nothing again', async (t) => {
    const { server, replicas, start } = await startReplicas(t, { count: 4 });
    await Promise.all(replicas.map(({ tell }) => tell(convergedAt(commitOf('a')))));
    assert.equal(server.received.length, 1);
    const fresh = await start('pod-new');
    await fresh.tell(convergedAt(commitOf('a')));
    assert.equal(server.received.length, 1);
    assert.deepEqual(JSON.parse(fresh.kept()).queue, []);
    await Promise.all(replicas.map(({ tell }) => tell(convergedAt(commitOf('b')))));
    assert.equal(server.received.length, 2);
  });

  it('tell the end of a trouble by whoever told of it, each time that it comes', async (t) => {
    const { server, replicas } = await startReplicas(t);
    const [one, other] = replicas as [Teller, Teller];
    const good = convergedAt(commitOf('a'));
    const away = (at: string) => ({
      ...good,
      state: 'unreachable' as const,
      last_error: { code: 'remote-unreachable', message: 'it is away', at },
    });
    await one.tell(good);
    for (const first of [one, other]) {
      const second = first === one ? other : one;
      for (const replica of [first, second]) await replica.tell(away('2026-01-01T00:00:00.000Z'));
      for (const replica of [second, first]) await replica.tell(good);
    }
    assert.deepEqual(told(server), [
      'converged a by pod-0',
      'unreachable a by pod-0',
      'recovered a by pod-0',
      'unreachable a by pod-1',
      'recovered a by pod-1',
    ]);
  });

  it('tell without the database when it stays away, also the end when it is back', async (t) => {
    const away = `postgres://nobody:secret-word@127.0.0.1:${await freePort()}/nowhere`;
    const back = await createDatabase();
    let url = away;
    let now = Date.now();
    const { server, replicas } = await startReplicas(t, {
      ...{ count: 1, withClient: (use) => through(url)(use), now: () => new Date(now) },
    });
    const [one] = replicas as [Teller];
    await one.tell(refusedAt(commitOf('a')));
    assert.equal(server.received.length, 0);
    now += 61_000;
    await one.tell(refusedAt(commitOf('a')));
    await waitUntil('it is told', () => server.received.length === 1);
    assert.match(one.log(), /was not told \(Postgres at/);
    assert.doesNotMatch(one.log(), /secret-word/);
    url = back;
    await one.tell(convergedAt(commitOf('a')));
    await waitUntil('its end is told', () => server.received.length === 2);
    assert.deepEqual(told(server), ['refused a by pod-0', 'recovered a by pod-0']);
  });

  it('let no status of an earlier moment replace a later one that another replica told', async (t) => {
    const withClient = through(await createDatabase());
    const forge = await serveGitlab(t);
    const environment = { RINGLOCK_STATUS_TOKEN: forgeToken };
    const receiver = statusReceiver('gitlab', '/srv/platform.git', forge.project, environment);
    let now = Date.now();
    const start = (replica: string) =>
      startTeller(t, [receiver], {
        ...{ withClient, replica, now: () => new Date(now) },
        schedule: { firstPauseMs: 60_000 },
      });
    const [slow, quick] = [await start('pod-0'), await start('pod-1')];
    forge.faults.push('cut');
    await slow.tell(refusedAt(commitOf('a')));
    // Behind what pod-0 may be telling at this moment, until that is known to be over.
    await quick.tell(convergedAt(commitOf('a')));
    assert.equal(forge.received.length, 1);
    now += 120_000;
    await slow.settled();
    await slow.tell(refusedAt(commitOf('a')));
    assert.equal(forge.received.length, 1, 'pod-0 drops what is overtaken');
    await quick.tell(convergedAt(commitOf('a')));
    assert.deepEqual(
      forge.statuses.map(({ state }) => state),
      ['success'],
    );
  });
});
