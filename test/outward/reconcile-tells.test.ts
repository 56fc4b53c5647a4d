import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { serveApplication } from '../support/application.ts';
import { deploy, push, reconcileOnce, release, statusIfAny } from '../support/deploy.ts';
import { fileRequest } from '../support/file-request.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';
import { forgeToken, serveGitlab } from './forges.ts';
import { type StandIn, standIn } from './stand-in.ts';
import { signingSecret, verified } from './support.ts';

after(stopOwnPostgres);

const environment = {
  RINGLOCK_WEBHOOK_SIGNING_SECRET: signingSecret,
  RINGLOCK_STATUS_TOKEN: forgeToken,
};

const payloadsAt = ({ received }: StandIn) => received.map((request) => verified(request));
const typesAt = (server: StandIn) => payloadsAt(server).map(({ type }) => type);

const askForHealth =
  'health:\n  url: http://127.0.0.1:1/\n  timeout: 1500ms\n  stableFor: 50ms\n  interval: 20ms\n';

describe('a reconciler that tells the outside', { concurrency: 2 }, () => {
  it('tells of a sick version, of its fix, of a hold and its end, and of a refusal', async (t) => {
    const platform = createPlatform(t);
    platform.write({ 'manifests/ringlock.yaml': askForHealth });
    const first = deploy(platform, 'Ask for health');
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const { url } = await serveApplication(t, root, ['1.0.1']);
    const server = await standIn(t);
    const forge = await serveGitlab(t);
    const flags = [
      ...['--health-url', url, '--notify-url', `${url}/reload`, '--webhook-url', server.url],
      ...['--commit-status', 'gitlab', '--commit-status-url', forge.project],
    ];
    const pass = async () => {
      const before = server.received.length;
      const { stderr } = await reconcileOnce({ repo, root }, flags, environment);
      return { types: typesAt(server).slice(before), stderr };
    };
    const told = async (types: string[]) => {
      const { types: found, stderr } = await pass();
      assert.deepEqual(found, types, stderr);
      return payloadsAt(server)
        .slice(-types.length)
        .map(({ data }) => data);
    };
    await told(['converged']);
    release(platform, 'Orders', '1.0.1');
    const sick = deploy(platform, 'Orders 1.0.1');
    const [reverted, held] = await told(['reverted', 'held']);
    assert.deepEqual(reverted.modules, [
      { module: 'orders', action: 'revert', from: '1.0.1', to: '1.0.0' },
    ]);
    assert.match(reverted.error.message, /503/);
    assert.equal(held.error.code, 'failed-before');
    assert.equal(held.commit, sick);

    release(platform, 'Orders', '1.0.2');
    const fix = deploy(platform, 'Orders 1.0.2');
    const [fixed] = await told(['converged']);
    assert.deepEqual(fixed.modules, [
      { module: 'orders', action: 'upgrade', from: '1.0.0', to: '1.0.2' },
    ]);
    assert.equal(fixed.subject, 'Orders 1.0.2');
    assert.equal(fixed.author, 'Ada Developer <ada@example.com>');
    assert.equal(fixed.operation.lock_commit, fix);
    assert.ok(fixed.operation.duration_ms > 0);
    assert.deepEqual(
      forge.statuses.map(({ sha, state }) => [sha, state]),
      [
        [first, 'success'],
        [sick, 'failed'],
        [fix, 'success'],
      ],
    );
    const [, failed, success] = forge.statuses.map(({ description }) => description);
    assert.match(failed ?? '', /^canary: held: held at their last good versions: orders/);
    assert.match(success ?? '', /^canary: converged in \d+\.\d s$/);

    await fileRequest(root, ['rollback', 'orders', '--reason', 'refunds fail']);
    const [hold, rolledBack] = await told(['hold', 'converged']);
    assert.equal(hold.hold.version, '1.0.0');
    assert.equal(hold.hold.reason, 'refunds fail');
    assert.equal(rolledBack.modules[0].to, '1.0.0');
    await fileRequest(root, ['unhold', 'orders']);
    platform.write({ 'manifests/canary.lock.json': '{"lock_version": 99}\n' });
    platform.git('add', '-A');
    push(platform, platform.commit('A lock of the future'));
    const [, refused] = await told(['unhold', 'refused']);
    assert.equal(refused.error.code, 'newer-lock-version');
    assert.equal(refused.subject, 'A lock of the future');
  });

  it('keeps no pass waiting for a receiver that hangs, and tells after a kill under one id', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const server = await standIn(t);
    const flags = ['--interval', '200ms', '--webhook-url', `${server.url}/path-secret-abcdef`];
    server.faults.push('hang');
    const first = startWatching(t, { repo, root }, flags, environment);
    await waitUntil('it hangs', () => server.received.length === 1, 60_000);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    await waitUntil(
      'the next commit is there all the same, and waits to be told',
      () =>
        statusIfAny(root)?.converged_commit === commit &&
        readFileSync(join(root, 'outward.json'), 'utf8').includes(`"converged ${commit}`),
      60_000,
    );
    await first.end('SIGKILL');
    const kept = readFileSync(join(root, 'outward.json'), 'utf8');
    assert.doesNotMatch(kept + first.log(), /path-secret|whsec_|MfKQ9r8G/);
    const second = startWatching(t, { repo, root }, flags, environment);
    await waitUntil('both are told', () => server.received.length >= 3, 60_000);
    assert.equal(await second.end('SIGTERM'), 0);
    const [hung, again, next, ...more] = payloadsAt(server);
    assert.equal(again?.id, hung?.id);
    assert.equal(next?.data.commit, commit);
    assert.deepEqual(more, []);
  });

  it('tells once for the replicas of a ring', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const server = await standIn(t);
    const forge = await serveGitlab(t);
    const databaseUrl = await createDatabase();
    const more = [
      ...['--replicas', '2', '--webhook-url', server.url],
      ...['--commit-status', 'gitlab', '--commit-status-url', forge.project],
    ];
    const options = { repo, databaseUrl, more, environment, withHealth: false };
    const replicas = await Promise.all([0, 1].map((n) => startReplica(t, n, options)));
    const allAreAt = (commit: string) => () =>
      replicas.every(({ root }) => {
        const status = statusIfAny(root);
        return status?.state === 'converged' && status.converged_commit === commit;
      });
    await waitUntil('all have begun', allAreAt(platform.git('rev-parse', 'HEAD')), 90_000);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    await waitUntil('all are there', allAreAt(commit), 90_000);
    for (const { watching } of replicas) assert.equal(await watching.end('SIGTERM'), 0);
    const about = payloadsAt(server).filter(({ data }) => data.commit === commit);
    assert.deepEqual(
      about.map(({ type }) => type),
      ['converged'],
      replicas.map(({ watching }) => watching.log()).join('\n'),
    );
    assert.equal(about[0]?.data.modules.length, 1);
    const states = forge.statuses.filter(({ sha }) => sha === commit).map(({ state }) => state);
    assert.deepEqual(states, ['success']);
  });
});
