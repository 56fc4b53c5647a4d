import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
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
import type { Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { gitEnvironment, openRepository } from '../support/repository.ts';
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
  run(more?: Partial<TrainOptions>, sources?: Partial<GateSources>): ReturnType<typeof runTrain>;
  /** The version of Orders in a ring's lock as the remote has it. */
  orders(ring: string): string | undefined;
  /** A file as the remote has it. */
  show(path: string): string;
  /** Somebody else's commit arrives at the remote. */
  arrive(files: Readonly<Record<string, string>>): void;
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
  const bare = openRepository(remote);
  const repository = await findRepository(platform.path);
  const show = (path: string) => bare.git('show', `main:${path}`);
  return {
    ...{ platform, remote, show },
    run: async (more = {}, sources = {}) =>
      runTrain(repository, {
        ...{ from: undefined, to: undefined, push: true, delayMs: 1, openPackages },
        sources: () => sourcesOf(sources),
        ...more,
      }),
    orders: (ring) => JSON.parse(show(`manifests/${ring}.lock.json`)).modules.orders.version,
    arrive: (files) => {
      const blobs = Object.entries(files).map(
        ([path, text]) => `M 100644 inline ${path}\ndata ${Buffer.byteLength(text)}\n${text}\n`,
      );
      execFileSync('git', ['fast-import', '--quiet', '--date-format=now'], {
        cwd: remote,
        input: `commit refs/heads/main\ncommitter Eve <eve@example.com> now\ndata 6\nTheirs\nfrom refs/heads/main^0\n${blobs.join('')}`,
      });
    },
  };
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
  assert.equal(at.orders('edge'), '1.0.0');

  const report = await at.run({}, sources);
  assert.deepEqual(
    report.promoted.map(({ from, to, promotion }) => [from, to, promotion.changes.length]),
    [['canary', 'edge', 1]],
  );
  assert.deepEqual([at.orders('edge'), at.orders('stable')], ['1.1.0', '1.0.0']);
  // A push moves what is known of the remote.
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
  const file = 'manifests/edge.lock.json';
  at.arrive({ [file]: platform.git('show', `${before}:${file}`) });
  const reverted = await at.run({}, sources);
  assert.deepEqual(reverted.promoted, []);
  assert.deepEqual(reverted.stops[1]?.barred, [
    { alias: 'orders', version: '1.1.0', reason: 'edge had it, and went back' },
  ]);
  // A newer version is no part of that.
  platform.git('reset', '-q', '--hard', 'origin/main');
  await releaseOrders(platform, '1.2.0');
  platform.git('push', '-q', '--no-verify');
  const fixed = entryOf(platform, 'canary').sha256;
  await canary.step(ago(1.5), { from: version, to: '1.2.0', digest: fixed });
  await canary.report({ modules: { orders: '1.2.0' } });
  await at.run({ to: 'edge' }, sources);
  assert.equal(at.orders('edge'), '1.2.0');
});

test('a push that races is decided again on what came first', async (t) => {
  const at = await station(t, 'override: false');
  let pushes = 0;
  const late = await errorOf(
    at.run({
      to: 'edge',
      attempts: 2,
      beforePush: async () => at.arrive({ 'README.md': `theirs ${++pushes}\n` }),
    }),
  );
  assert.deepEqual([late.code, late.exitCode, pushes], ['push-raced', 3, 2]);
  assert.equal(at.orders('edge'), '1.0.0');

  // A server that takes it from nobody like this is not asked again.
  const hook = join(at.remote, 'hooks/pre-receive');
  writeFileSync(hook, '#!/bin/sh\necho "protected branch" >&2\nexit 1\n');
  chmodSync(hook, 0o755);
  const refused = await errorOf(at.run({ to: 'edge' }));
  assert.deepEqual([refused.code, refused.exitCode], ['push-refused', 1]);
  assert.match(refused.message, /pre-receive hook declined[\s\S]*protected branch/);
  rmSync(hook);

  const raced = await at.run({
    to: 'edge',
    beforePush: async () => {
      if (++pushes === 3) at.arrive({ 'README.md': 'theirs 3\n' });
    },
  });
  assert.deepEqual([raced.attempts, raced.pushed, raced.promoted.length], [2, true, 1]);
  assert.equal(at.orders('edge'), '1.1.0');
  assert.equal(at.show('README.md'), 'theirs 3');

  // A freeze that came meanwhile holds.
  const file = 'manifests/stable.ring.yaml';
  const gates = 'gates: {freeze: [{from: 2020-01-01, to: 2999-01-01}]}\n';
  const freeze = async () => at.arrive({ [file]: `promotesFrom: edge\n${gates}` });
  const frozen = await at.run({ to: 'stable', beforePush: freeze });
  assert.deepEqual([frozen.promoted.length, frozen.attempts], [0, 2]);
  assert.equal(at.orders('stable'), '1.0.0');

  // Somebody was faster with the same promotion: then there is nothing left to do.
  at.arrive({ [file]: 'promotesFrom: edge\n' });
  const { promoted, attempts, pushed } = await at.run({
    to: 'stable',
    beforePush: async () => {
      const lock = JSON.parse(at.show('manifests/edge.lock.json'));
      const text = JSON.stringify({ ...lock, ring: 'stable' }, null, 2);
      at.arrive({ 'manifests/stable.lock.json': `${text}\n` });
    },
  });
  assert.deepEqual([promoted.length, attempts, pushed], [0, 2, false]);
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
  const subjects = at.platform.git('log', '--format=%s', 'HEAD..origin/main');
  assert.equal(
    subjects,
    'Promote 2 modules from canary to edge\nPromote mobile-app 0.4.0 from canary to edge',
  );
});

test('each ring gets it on the branch that it deploys from', async (t) => {
  const at = await station(t, 'override: false', async (platform) => {
    const file = 'manifests/edge.ring.yaml';
    platform.commit('Edge has a branch', { [file]: `${platform.read(file)}branch: release\n` });
    platform.git('branch', 'release');
    // What main has of edge is nothing that edge runs.
    platform.commit('Main goes on', { 'manifests/edge.lock.json': 'not even a lock' });
  });
  at.platform.git('push', '-q', '--no-verify', 'origin', 'release');
  const main = at.show('manifests/edge.lock.json');
  const { promoted } = await at.run({ to: 'edge' });
  assert.deepEqual(
    promoted.map(({ branch, promotion }) => [branch, promotion.changes.length]),
    [['release', 1]],
  );
  const released = at.platform.git('show', 'origin/release:manifests/edge.lock.json');
  assert.equal(JSON.parse(released).modules.orders.version, '1.1.0');
  assert.equal(at.show('manifests/edge.lock.json'), main);
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
  at.platform.git(...sign, 'tag', '-s', '-m', line, tag);
  // Here it is, and at the remote not yet.
  assert.deepEqual((await at.run({ to: 'edge' }, sources)).promoted, []);
  at.platform.git('push', '-q', 'origin', tag);
  assert.equal((await at.run({ to: 'edge', push: false }, sources)).promoted.length, 1);
  // Taken back before it went.
  at.platform.git('push', '-q', 'origin', `:refs/tags/${tag}`);
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
  at.arrive({ 'manifests/edge.ring.yaml': 'promotesFrom: canary\n' });
  const gone = await runCli(at.platform.path, [...auto, '--push']);
  assert.match(
    gone.stdout,
    /^canary → edge: orders 1\.1\.0 \(was 1\.0\.0\): [0-9a-f]{12} on main\n$/,
  );
  const wrong = await runCli(at.platform.path, [...auto, 'orders', '--override', 'x']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--override, orders is given with --auto/);
});
