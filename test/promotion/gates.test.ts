import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { type GateSources, judgePins } from '../../src/promotion/judge-pins.ts';
import { type PromotionWish, proposePromotion } from '../../src/promotion/promote-modules.ts';
import { parseLock } from '../../src/repo/lock.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { onEnd } from '../support/cleanup.ts';
import { reconcileOnce } from '../support/deploy.ts';
import { errorOf } from '../support/error-of.ts';
import type { Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  auditedReplica,
  entryOf,
  gatedPlatform,
  releaseOrders,
  sourcesOf,
} from './gated-platform.ts';

after(stopOwnPostgres);

const hour = 3_600_000;
const start = Date.parse('2026-11-25T00:00:00Z');
const at = (hours: number) => new Date(start + hours * hour);

async function propose(
  platform: Platform,
  sources: Partial<GateSources> = {},
  wish: Partial<PromotionWish> = {},
) {
  return proposePromotion(
    await findRepository(platform.path),
    {
      ...{ from: 'canary', to: 'edge', modules: ['orders'], withDependencies: false },
      ...{ allowDowngrade: false, movePlatform: false, reason: undefined, override: undefined },
      ...wish,
    },
    sourcesOf(sources),
    openPackages,
  );
}

test('a version soaks in the ring before, as its audit in PostgreSQL has it', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 24h');
  const url = await createDatabase();
  const databaseUrl = async () => url;
  const { version, sha256: digest } = entryOf(platform, 'canary');
  const [one, two] = [
    await auditedReplica(t, url, 'canary', 'pod-a'),
    await auditedReplica(t, url, 'canary', 'pod-b'),
  ];
  await one.report({ modules: { orders: version } });
  const never = await errorOf(propose(platform, { databaseUrl, now: at(0) }));
  assert.equal(never.code, 'gates-closed');
  assert.match(never.message, /orders 1\.1\.0 may not come to edge:/);
  assert.match(
    never.message,
    /closed {4}soak: 0s of 24h: no replica of canary has been found well/,
  );
  assert.match(never.message, /open {6}health: the replica of canary converged with it/);

  await one.step(at(1), { from: '1.0.0', to: version, digest });
  await two.step(at(2), { from: '1.0.0', to: version, digest });
  const early = await errorOf(propose(platform, { databaseUrl, now: at(4) }));
  assert.match(
    early.message,
    /soaked 2h 59m in canary since 2026-11-25T01:00:01Z, 24h are needed; opens 2026-11-26T01:00:01Z/,
  );
  assert.equal(early.hint, 'Open at 2026-11-26T01:00:01Z.');
  assert.equal(early.exitCode, 1);
  const done = await propose(platform, { databaseUrl, now: at(26) });
  assert.match(
    done.message,
    /^Promote orders 1\.1\.0 from canary to edge\n\n- orders: 1\.0\.0 → 1\.1\.0 \(sha256:[0-9a-f]{12}\)\n {2}soak: soaked 1d in canary since 2026-11-25T01:00:01Z\n {2}health: the replica of canary converged with it\n$/,
  );

  // It is not well everywhere.
  await two.report({ modules: { orders: '1.0.0' }, state: 'converging' });
  const sick = await errorOf(propose(platform, { databaseUrl, now: at(26) }));
  assert.match(sick.message, /closed {4}health: in canary pod-b serves 1\.0\.0/);
  assert.equal(sick.hint, 'Do what is missing, then run it again.');
  await two.report({ modules: { orders: version }, state: 'degraded', degraded: 'it answers 500' });
  const degraded = await errorOf(propose(platform, { databaseUrl, now: at(26) }));
  assert.match(degraded.message, /pod-b is degraded \(it answers 500\)/);
  const restarts = { count: 2, last_at: at(20).toISOString() };
  await two.report({ modules: { orders: version }, restarts });
  const killed = await errorOf(propose(platform, { databaseUrl, now: at(26) }));
  assert.match(
    killed.message,
    /pod-b was killed and began again at 2026-11-25T20:00:00Z, 24h without are needed; opens 2026-11-26T20:00:00Z/,
  );
  assert.ok(await propose(platform, { databaseUrl, now: at(44) }));
  await two.report({ modules: { orders: version } });

  // It failed after all, and what soaked before counts no more.
  await one.step(at(27), { from: '1.0.0', to: version, digest, outcome: 'reverted' });
  const failed = await errorOf(propose(platform, { databaseUrl, now: at(60) }));
  assert.match(
    failed.message,
    /it failed in canary at 2026-11-26T03:00:00Z, and has not been well/,
  );
  await one.step(at(61), { from: '1.0.0', to: version, digest });
  const again = await errorOf(propose(platform, { databaseUrl, now: at(62) }));
  assert.match(again.message, /soaked 59m 59s in canary since 2026-11-27T13:00:01Z/);
  assert.ok(await propose(platform, { databaseUrl, now: at(86) }));

  // The ring keeps it out since it failed, whatever else was seen.
  const changes = [{ alias: 'orders', version, sha256: digest }];
  await query(
    url,
    `insert into ring_memory (ring, kind, key, value, at) values ('canary', 'failure', 'k', $1, now())`,
    [JSON.stringify({ changes, reason: 'probes fail', commit: null })],
  );
  const kept = await errorOf(propose(platform, { databaseUrl, now: at(90) }));
  assert.match(kept.message, /closed {4}health: it failed in canary: probes fail/);
});

test('a version that soaked is promoted by name after canary went on', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 1h');
  const url = await createDatabase();
  const databaseUrl = async () => url;
  const first = entryOf(platform, 'canary');
  await releaseOrders(platform, '1.2.0');
  const second = entryOf(platform, 'canary');
  const one = await auditedReplica(t, url, 'canary', 'pod-a');
  await one.step(at(1), { from: '1.0.0', to: '1.1.0', digest: first.sha256 });
  await one.step(at(3), { from: '1.1.0', to: '1.2.0', digest: second.sha256 });
  await one.report({ modules: { orders: '1.2.0' } });
  const sources = { databaseUrl, now: at(3.5) };
  const early = await errorOf(propose(platform, sources));
  assert.match(early.message, /orders 1\.2\.0 may not come/);
  const { changes, message } = await propose(platform, sources, { modules: ['orders@1.1.0'] });
  assert.deepEqual(
    changes.map(({ after }) => after.sha256),
    [first.sha256],
  );
  assert.match(
    message,
    /soaked 1h 59m in canary since .*\n.*canary went on from it without a failure/,
  );
  const unknown = await errorOf(propose(platform, sources, { modules: ['orders@9.0.0'] }));
  assert.equal(unknown.hint, 'Versions that its lock had: 1.0.0, 1.1.0, 1.2.0.');
});

test('gates that cannot be judged count as closed, and end with 3', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 24h\napprovals: 1\napprovers: [ada@example.com]');
  const error = await errorOf(propose(platform));
  assert.equal(error.code, 'gates-unjudged');
  assert.equal(error.exitCode, 3);
  assert.match(error.message, /unjudged {2}soak: no audit database is given \(give --database-url/);
  assert.match(error.message, /unjudged {2}approvals: no keys of approvers are given/);
  const url = 'postgres://user:hunter2@127.0.0.1:1/nothing';
  const away = await errorOf(propose(platform, { databaseUrl: async () => url }));
  assert.equal(away.exitCode, 3);
  assert.match(away.message, /the audit database does not say: Postgres at 127\.0\.0\.1:1/);
  assert.doesNotMatch(away.message, /hunter2/);
});

test('a freeze says until when; going back to what the ring had, and an override, go over it', async (t) => {
  const platform = await gatedPlatform(
    t,
    'freeze:\n  - {from: 2026-12-20, to: 2027-01-02, timezone: Europe/Berlin, reason: holidays}',
  );
  const now = new Date('2026-12-24T12:00:00Z');
  const open = await propose(platform, { now: at(0) });
  platform.write({ [open.file]: open.text });
  platform.commit(open.message);
  await releaseOrders(platform, '1.2.0');
  const frozen = await errorOf(propose(platform, { now }));
  assert.match(
    frozen.message,
    /closed {4}freeze: frozen from 2026-12-20 to 2027-01-02 Europe\/Berlin: holidays; opens 2027-01-02T23:00:00Z/,
  );
  const refused = await errorOf(propose(platform, { now }, { override: 'outage' }));
  assert.equal(refused.code, 'override-not-allowed');
  // Canary itself goes back, and edge follows it: what edge had before is never held up.
  const later = await propose(platform, { now: at(0) });
  platform.write({ [later.file]: later.text });
  platform.commit(later.message);
  const back = await propose(
    platform,
    { now },
    { modules: ['orders@1.1.0'], allowDowngrade: true },
  );
  assert.equal(back.judgements[0]?.is_return, true);
  assert.match(back.message, /1\.2\.0 → 1\.1\.0 .*\n {2}the ring had it before/);

  platform.write({
    'manifests/edge.ring.yaml': `${platform.read('manifests/edge.ring.yaml')}  override: true\n`,
  });
  await releaseOrders(platform, '1.3.0');
  const hint = await errorOf(propose(platform, { now }));
  assert.match(
    hint.hint ?? '',
    /Open at 2027-01-02T23:00:00Z\. Over it: --override "reason" --commit/,
  );
  assert.equal((await errorOf(propose(platform, { now }, { override: ' ' }))).code, 'empty-reason');
  const over = await propose(platform, { now }, { override: 'the shop\nis down' });
  assert.match(over.message, /\n\nRinglock-Override: the shop is down\n$/);
  assert.equal(over.overridden.length, 1);
  // An override that was not needed is none.
  assert.doesNotMatch(
    (await propose(platform, { now: at(0) }, { override: 'x' })).message,
    /Override/,
  );
});

test('a URL and a command have to agree, and no secret comes out of them', async (t) => {
  let status = 500;
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onEnd(t, () => server.close());
  const { port } = server.address() as AddressInfo;
  const platform = await gatedPlatform(
    t,
    `requires:
  - {name: tests, url: "http://ci:hunter22hunter22@127.0.0.1:${port}/ok/{alias}/{version}?token=swordfish99"}
  - {name: ready, command: "sh check.sh", timeout: 20s, env: [CLUSTER]}
  - {name: slow, command: "sleep 30", timeout: 100ms}`,
  );
  platform.commit('A check', {
    'check.sh':
      'echo "$RINGLOCK_RING $RINGLOCK_SOURCE_RING $RINGLOCK_ALIAS $RINGLOCK_VERSION $CLUSTER $DATABASE_URL."; exit 7\n',
  });
  const environment = {
    ...{ PATH: process.env['PATH'], HOME: process.env['HOME'], CLUSTER: 'east' },
    DATABASE_URL: 'postgres://not-for-it@db/x',
  };
  const error = await errorOf(propose(platform, { environment }));
  assert.match(
    error.message,
    new RegExp(
      `closed {4}requires tests: http://127\\.0\\.0\\.1:${port}/ok/orders/1\\.1\\.0 answered 500, expected 2xx`,
    ),
  );
  assert.match(
    error.message,
    /closed {4}requires ready: it ended with 7, expected 0: edge canary orders 1\.1\.0 east \./,
  );
  assert.match(error.message, /closed {4}requires slow: it did not end within 100 ms/);
  assert.doesNotMatch(JSON.stringify([error.message, error.details]), /hunter22|swordfish/);
  assert.deepEqual(asked, [
    `/ok/orders/1.1.0?token=swordfish99 Basic ${Buffer.from('ci:hunter22hunter22').toString('base64')}`,
  ]);
  platform.commit('The check is well', {
    'check.sh': 'exit 0\n',
    'manifests/edge.ring.yaml': platform
      .read('manifests/edge.ring.yaml')
      .replace('sleep 30', 'true')
      .replace('100ms', '20s'),
  });
  // What it redirects to is not what was agreed upon.
  status = 302;
  assert.match((await errorOf(propose(platform))).message, /answered 302, expected 2xx/);
  status = 204;
  assert.ok(await propose(platform));
  server.close();
  server.closeAllConnections();
  const away = await errorOf(propose(platform));
  assert.equal(away.exitCode, 3);
  assert.match(away.message, /unjudged {2}requires tests: .* did not answer/);
});

test('what a reconciler really reports is a soak, and health', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 1h');
  const repo = platform.addRemote(t);
  const DATABASE_URL = await createDatabase();
  const ring = { repo, root: temporaryDirectory(t, 'root'), ring: 'canary' };
  const began = Date.now();
  assert.equal((await reconcileOnce(ring, [], { DATABASE_URL })).code, 0);
  const ended = Date.now();
  const { modules } = parseLock(platform.read('manifests/canary.lock.json'), 'canary');
  const orders = modules.get('orders');
  assert.ok(orders);
  const judge = async (now: number) => {
    const [judgement] = await judgePins(
      await findRepository(platform.path),
      {
        ring: parseRingFile(platform.read('manifests/edge.ring.yaml'), 'edge').ring,
        source: modules,
        pins: [{ kind: 'pin', alias: 'orders', after: orders }],
        ...{ historyOf: 'HEAD', approvedIn: [], authors: [] },
      },
      sourcesOf({ databaseUrl: async () => DATABASE_URL, now: new Date(now) }),
    );
    return judgement?.gates.map(({ gate, state }) => `${gate} ${state}`);
  };
  assert.deepEqual(await judge(began + hour - 1000), ['soak closed', 'health open']);
  assert.deepEqual(await judge(ended + hour), ['soak open', 'health open']);
});
