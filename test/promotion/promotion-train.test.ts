import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { openGateSources } from '../../src/promotion/gate-sources.ts';
import type { GateSources } from '../../src/promotion/judge-pins.ts';
import { runTrain, type TrainOptions } from '../../src/promotion/promotion-train.ts';
import { approvalLine } from '../../src/repo/approval-text.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import { cloneOf, lockedAt, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { gitEnvironment, type Repository } from '../support/repository.ts';
import { createSshKey, withoutSshKeygen } from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  auditedReplica,
  entryOf,
  gatedPlatform,
  lockCanary,
  releaseOrders,
  sourcesOf,
} from './gated-platform.ts';

after(stopOwnPostgres);

const hour = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * hour);

interface Station {
  readonly platform: Platform;
  readonly remote: string;
  /** Somebody else's clone. */
  readonly other: Repository;
  run(more?: Partial<TrainOptions>, sources?: Partial<GateSources>): ReturnType<typeof runTrain>;
  /** Versions of Orders in a ring's lock as the remote has it. */
  orders(ring: string): string | undefined;
}

async function station(
  t: TestContext,
  gates: string,
  prepare?: (platform: Platform) => Promise<void>,
): Promise<Station> {
  const platform = await gatedPlatform(t, gates);
  await prepare?.(platform);
  platform.git('config', 'gc.auto', '0');
  platform.git('config', 'maintenance.auto', 'false');
  const remote = platform.addRemote(t);
  const other = cloneOf(t, remote);
  return {
    ...{ platform, remote, other },
    run: async (more = {}, sources = {}) =>
      runTrain(await findRepository(platform.path), {
        ...{ from: undefined, to: undefined, push: true, delayMs: 1, openPackages },
        sources: () => sourcesOf(sources),
        ...more,
      }),
    orders: (ring) => {
      platform.git('fetch', '-q');
      const locked = lockedAt(platform, 'origin/main', ring);
      return locked.find(({ alias }) => alias === 'orders')?.version;
    },
  };
}

/** Pushes something of somebody else's, as it is now at the remote. */
function pushOther({ other }: Station, files: Record<string, string>, message = 'Theirs'): void {
  other.git('fetch', '-q');
  other.git('reset', '-q', '--hard', 'origin/main');
  other.commit(message, files);
  other.git('push', '-q', 'origin', 'HEAD:main');
}

test('what has passed its gates goes by itself, on the remote alone, one ring in a run', async (t) => {
  const at = await station(t, 'soak: 1h');
  const { platform } = at;
  const url = await createDatabase();
  const sources = { databaseUrl: async () => url };
  const { version, sha256: digest } = entryOf(platform, 'canary');
  const canary = await auditedReplica(t, url, 'canary', 'pod-a');
  await canary.report({ modules: { orders: version } });
  const early = await at.run({}, sources);
  assert.deepEqual(early.promoted, []);
  assert.deepEqual(
    early.stops.map(({ from, to, waiting }) => [from, to, waiting.map(({ alias }) => alias)]),
    [
      ['edge', 'stable', []],
      ['canary', 'edge', ['orders']],
    ],
  );
  await canary.step(ago(2), { from: '1.0.0', to: version, digest });
  const before = platform.git('rev-parse', 'origin/main');
  const head = platform.git('rev-parse', 'HEAD');
  platform.write({ 'README.md': 'being edited\n' });
  const shown = await at.run({ push: false }, sources);
  assert.deepEqual([shown.promoted.length, shown.pushed], [1, false]);
  assert.equal(platform.git('ls-remote', 'origin', 'main').slice(0, 40), before);

  const report = await at.run({}, sources);
  assert.deepEqual(
    report.promoted.map(({ from, to, promotion }) => [from, to, promotion.changes.length]),
    [['canary', 'edge', 1]],
  );
  assert.deepEqual([at.orders('edge'), at.orders('stable')], ['1.1.0', '1.0.0']);
  assert.equal(platform.git('rev-parse', 'origin/main~1'), before);
  assert.equal(
    platform.git('diff', '--stat', '--name-only', before, 'origin/main'),
    'manifests/edge.lock.json',
  );
  assert.match(
    platform.git('show', '-s', '--format=%B', 'origin/main'),
    /^Promote orders 1\.1\.0 from canary to edge\n\n- orders: 1\.0\.0 → 1\.1\.0 \(sha256:[0-9a-f]{12}\)\n {2}soak: soaked (1h 59m|2h) in canary since .*\n {2}health: the replica of canary converged with it$/,
  );
  // Neither the branch nor the work tree here has moved.
  assert.equal(platform.git('rev-parse', 'HEAD'), head);
  assert.equal(platform.git('status', '--porcelain'), ' M README.md');

  // It fails in edge: it goes no further, and not there again after it was taken back, until it is retried.
  const edge = await auditedReplica(t, url, 'edge', 'pod-e');
  await edge.step(ago(1), { from: '1.0.0', to: version, digest, outcome: 'reverted' });
  const failed = await at.run({}, sources);
  assert.deepEqual(failed.promoted, []);
  assert.match(
    failed.stops[0]?.barred[0]?.reason ?? '',
    /^it failed in edge at 20.*Z, and was taken back$/,
  );
  at.other.git('fetch', '-q');
  at.other.git('reset', '-q', '--hard', 'origin/main');
  at.other.git('revert', '--no-edit', 'HEAD');
  at.other.git('push', '-q', 'origin', 'HEAD:main');
  const reverted = await at.run({}, sources);
  assert.deepEqual(reverted.promoted, []);
  assert.deepEqual(reverted.stops[1]?.barred, [
    { alias: 'orders', version: '1.1.0', reason: 'edge had it, and went back' },
  ]);
  // A newer version is no part of that.
  pushOther(at, {});
  platform.git('checkout', '-q', '--', 'README.md');
  platform.git('pull', '-q', '--rebase');
  await releaseOrders(platform, '1.2.0');
  platform.git('push', '-q', '--no-verify');
  const fixed = entryOf(platform, 'canary').sha256;
  await canary.step(ago(1.5), { from: version, to: '1.2.0', digest: fixed });
  await canary.report({ modules: { orders: '1.2.0' } });
  await at.run({}, sources);
  assert.equal(at.orders('edge'), '1.2.0');
});

test('a push that races is decided again on what came first', async (t) => {
  const at = await station(t, 'override: false');
  let pushes = 0;
  const raced = await at.run({
    to: 'edge',
    beforePush: async () => {
      pushes += 1;
      if (pushes < 3) pushOther(at, { 'README.md': `theirs ${pushes}\n` });
    },
  });
  assert.deepEqual([raced.attempts, raced.pushed, raced.promoted.length], [3, true, 1]);
  assert.equal(at.orders('edge'), '1.1.0');
  assert.equal(at.platform.git('show', 'origin/main:README.md'), 'theirs 2');

  // Somebody was faster with the same promotion: then there is nothing left to do.
  const { promoted, attempts, pushed } = await at.run({
    to: 'stable',
    beforePush: async () => {
      const lock = JSON.parse(at.platform.git('show', 'origin/main:manifests/edge.lock.json'));
      const text = JSON.stringify({ ...lock, ring: 'stable' }, null, 2);
      pushOther(at, { 'manifests/stable.lock.json': `${text}\n` });
    },
  });
  assert.deepEqual([promoted.length, attempts, pushed], [0, 2, false]);

  // A freeze that came meanwhile holds.
  await releaseOrders(at.platform, '1.2.0');
  at.platform.git('pull', '-q', '--rebase');
  at.platform.git('push', '-q', '--no-verify');
  const frozen = await at.run({
    to: 'edge',
    beforePush: async () => {
      const file = 'manifests/edge.ring.yaml';
      const gates = 'gates:\n  freeze: [{from: 2020-01-01, to: 2999-01-01}]\n';
      pushOther(at, { [file]: `promotesFrom: canary\n${gates}` });
    },
  });
  assert.deepEqual([frozen.promoted.length, frozen.attempts], [0, 2]);
  assert.equal(at.orders('edge'), '1.1.0');
});

test('who is always too late gives up, and a server that refuses is not asked again', async (t) => {
  const at = await station(t, 'override: false');
  let pushes = 0;
  const error = await errorOf(
    at.run({
      to: 'edge',
      attempts: 2,
      beforePush: async () => {
        pushes += 1;
        pushOther(at, { 'README.md': `theirs ${pushes}\n` });
      },
    }),
  );
  assert.deepEqual([error.code, error.exitCode, pushes], ['push-raced', 3, 2]);
  assert.equal(at.orders('edge'), '1.0.0');
  const hook = join(at.remote, 'hooks/pre-receive');
  writeFileSync(hook, '#!/bin/sh\necho "protected branch" >&2\nexit 1\n');
  chmodSync(hook, 0o755);
  const refused = await errorOf(at.run());
  assert.deepEqual([refused.code, refused.exitCode], ['push-refused', 1]);
  assert.match(refused.message, /pre-receive hook declined[\s\S]*protected branch/);
});

test('modules that only run together are one commit, each other has its own', async (t) => {
  const at = await station(t, 'override: false', async (platform) => {
    platform.change('Products');
    platform.setVersion('Products', '2.0.0');
    platform.change('Orders');
    platform.setVersion('Orders', '1.2.0', { dependencies: { products: '^2.0.0' } });
    platform.change('MobileApp');
    platform.setVersion('MobileApp', '0.4.0');
    await lockCanary(platform);
    platform.commit('Products 2');
    const file = 'manifests/edge.ring.yaml';
    const holds = 'holds:\n  communications: {version: 1.0.0, reason: as it is}\n';
    platform.commit('Hold', { [file]: `${platform.read(file)}${holds}` });
  });
  const { promoted } = await at.run({ to: 'edge' });
  assert.deepEqual(
    promoted.map(({ promotion }) => promotion.changes.map(({ alias }) => alias)),
    [['mobile-app'], ['products', 'orders']],
  );
  assert.equal(at.platform.git('rev-list', '--count', 'HEAD..origin/main'), '2');
  const subjects = at.platform.git('log', '--format=%s', 'HEAD..origin/main');
  assert.equal(
    subjects,
    'Promote 2 modules from canary to edge\nPromote mobile-app 0.4.0 from canary to edge',
  );
});

test('an approval counts as the remote has it', { skip: withoutSshKeygen() }, async (t) => {
  const at = await station(t, 'approvals: 1\napprovers: [bob@example.com]');
  const bob = createSshKey(t);
  const allowedSigners = join(temporaryDirectory(t, 'signers'), 'allowed');
  writeFileSync(allowedSigners, `bob@example.com ${bob.line}\n`);
  const repository = await findRepository(at.platform.path);
  const place = { workingDirectory: '/', environment: gitEnvironment, now: new Date() };
  const sources = await openGateSources({ allowedSigners }, repository, place);
  const tag = 'approve/edge/orders@1.1.0/bob';
  const line = approvalLine({ ring: 'edge', alias: 'orders', ...entryOf(at.platform, 'canary') });
  const sign = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${bob.path}`];
  execFileSync('git', [...sign, 'tag', '-s', '-m', line, tag], {
    cwd: at.other.path,
    env: gitEnvironment,
  });
  assert.deepEqual((await at.run({ to: 'edge' }, sources)).promoted, []);
  at.other.git('push', '-q', 'origin', tag);
  assert.equal((await at.run({ to: 'edge', push: false }, sources)).promoted.length, 1);
  // Taken back before it went.
  at.other.git('push', '-q', 'origin', `:refs/tags/${tag}`);
  assert.deepEqual((await at.run({ to: 'edge' }, sources)).promoted, []);
});

test('the command says what went, what waits and what a person has to decide', async (t) => {
  const at = await station(t, 'soak: 24h');
  const auto = ['ring', 'promote', '--auto'];
  const waiting = await runCli(at.platform.path, [...auto, '--push', '--json']);
  assert.equal(waiting.code, 3, waiting.stderr);
  const answer = JSON.parse(waiting.stdout);
  assert.deepEqual(
    [answer.pushed, answer.promoted, answer.waiting[0].alias, answer.waiting[0].gates[0].state],
    [false, [], 'orders', 'unjudged'],
  );
  pushOther(at, { 'manifests/edge.ring.yaml': 'promotesFrom: canary\n' });
  const gone = await runCli(at.platform.path, [...auto, '--push']);
  assert.match(
    gone.stdout,
    /^canary → edge: orders 1\.1\.0 \(was 1\.0\.0\): [0-9a-f]{12} on main\n$/,
  );
  const wrong = await runCli(at.platform.path, [...auto, 'orders', '--override', 'x']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--override, orders is given with --auto/);
});
