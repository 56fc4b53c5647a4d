import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { serveApplication } from '../support/application.ts';
import { runCli } from '../support/cli.ts';
import {
  deploy,
  push,
  readEvents,
  reconcileOnce,
  release,
  statusIfAny,
} from '../support/deploy.ts';
import { serveGit } from '../support/git-server.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { servedVersion, startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

after(stopOwnPostgres);

const converged = (root: string, commit: string) =>
  waitUntil(
    `${root} is at ${commit}`,
    () => statusIfAny(root)?.converged_commit === commit,
    60_000,
  );

const noPolling = ['--interval', '200ms'];

describe('a ring in adversity', { concurrency: 2 }, () => {
  it('is not taken back by a replica whose git is away', async (t) => {
    const platform = createPlatform(t);
    const bare = platform.addRemote(t);
    const server = await serveGit(t, dirname(bare));
    const DATABASE_URL = await createDatabase();
    const ahead = await startReplica(t, 0, {
      repo: bare,
      databaseUrl: DATABASE_URL,
      withHealth: false,
    });
    const behind = await startReplica(t, 1, {
      repo: `${server.url}/${basename(bare)}`,
      databaseUrl: DATABASE_URL,
      withHealth: false,
    });
    const first = platform.git('rev-parse', 'HEAD');
    await converged(ahead.root, first);
    await converged(behind.root, first);
    server.setFault({ kind: 'status', status: 500 });
    release(platform, 'Orders', '1.0.1');
    const second = deploy(platform, 'Orders 1.0.1');
    // A majority of the two is not there while the other is waited for; it is let go in time.
    await waitUntil('one serves it', () => ahead.served('Orders') === '1.0.1', 60_000);
    behind.watching.process.kill('SIGHUP');
    await waitUntil(
      'the other has looked',
      () => statusIfAny(behind.root)?.state === 'unreachable',
    );
    const operations = await query<{ commit: string }>(
      DATABASE_URL,
      'select commit from ring_operations order by created_at',
    );
    assert.deepEqual(
      operations.map(({ commit }) => commit),
      [first, second],
    );
    server.setFault(undefined);
    await converged(ahead.root, second);
    await converged(behind.root, second);
    assert.equal(behind.served('Orders'), '1.0.1');
  });

  it('keeps the schema that serves when a pod with a fresh disk fails at something else', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const MIGRATIONS_DATABASE_URL = await createDatabase();
    platform.write({
      'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
      'modules/Orders/migrations/0001_refunds.down.sql':
        '-- ringlock: safe-down\ndrop table refunds;\n',
    });
    platform.setVersion('Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    const first = temporaryDirectory(t, 'root');
    const installed = await reconcileOnce({ repo, root: first }, [], { MIGRATIONS_DATABASE_URL });
    assert.equal(installed.code, 0, installed.stderr);
    const products = JSON.parse(platform.read('modules/Products/module.json'));
    platform.write({
      'modules/Products/module.json': `${JSON.stringify({ ...products, version: '1.0.1', lifecycle: { onInstall: 'no.mjs' } })}\n`,
      'modules/Products/no.mjs': 'process.exit(3);\n',
    });
    deploy(platform, 'Products 1.0.1');
    const second = temporaryDirectory(t, 'root');
    const failed = await reconcileOnce({ repo, root: second }, [], { MIGRATIONS_DATABASE_URL });
    assert.equal(failed.code, 1, failed.stderr);
    const tables = await query(
      MIGRATIONS_DATABASE_URL,
      `select relname from pg_class where relname = 'refunds'`,
    );
    assert.equal(tables.length, 1, 'the table of the version that serves is gone');
  });

  it('lets a handler come to its end when an unrelated commit arrives', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const log = join(temporaryDirectory(t, 'log'), 'log');
    const watching = startWatching(t, { repo, root }, noPolling);
    await converged(root, platform.git('rev-parse', 'HEAD'));
    platform.write({
      'modules/Orders/up.mjs': `import { appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(log)}, 'begin\\n');
setTimeout(() => appendFileSync(${JSON.stringify(log)}, 'end\\n'), 2000);\n`,
    });
    platform.setVersion('Orders', '1.0.1', { lifecycle: { onUpgrade: 'up.mjs' } });
    deploy(platform, 'Orders 1.0.1');
    await waitUntil('the handler runs', () => existsSync(log), 30_000);
    const unrelated = push(platform, platform.commit('A word', { 'README.md': '# More\n' }));
    await converged(root, unrelated);
    assert.equal(readFileSync(log, 'utf8'), 'begin\nend\n', watching.log());
    assert.equal(servedVersion(root, 'Orders'), '1.0.1');
    assert.equal(statusIfAny(root)?.state, 'converged');
  });

  it('serves a first install although the application is not there yet to be told', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const nobody = ['--notify-url', 'http://127.0.0.1:1/', '--health-url', 'http://127.0.0.1:1/'];
    platform.write({
      'manifests/ringlock.yaml':
        'health: {url: "http://127.0.0.1:1/", timeout: 300ms, stableFor: 50ms}\nnotify: {timeout: 200ms}\n',
    });
    deploy(platform, 'Be quick');
    const { code, stderr } = await reconcileOnce({ repo, root }, nobody);
    assert.equal(code, 0, stderr);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    assert.ok(readEvents(root).every(({ outcome }) => outcome === 'succeeded'));
  });

  it('keeps every module when the first operation after a seed is aborted', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const seed = temporaryDirectory(t, 'seed');
    mkdirSync(join(seed, 'modules'));
    cpSync(join(platform.path, 'modules'), join(seed, 'modules'), { recursive: true });
    cpSync(join(platform.path, 'manifests/canary.lock.json'), join(seed, 'lock.json'));
    writeFileSync(
      join(seed, 'seed.json'),
      JSON.stringify({ commit: platform.git('rev-parse', 'HEAD'), branch: 'main' }),
    );
    platform.write({
      'manifests/ringlock.yaml': 'health: {url: "http://127.0.0.1:1/", timeout: 60s}\n',
    });
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const application = await serveApplication(t, root, ['1.0.1']);
    const { url } = application;
    const more = ['--seed', seed, '--health-url', url, '--notify-url', url, ...noPolling];
    const watching = startWatching(t, { repo, root }, more);
    await waitUntil('it is judged', () => application.loaded() === '1.0.1', 30_000);
    const aborted = await runCli(root, ['abort', '--root', root, '--reason', 'refunds fail']);
    assert.equal(aborted.code, 0, aborted.stderr);
    await waitUntil('it is back', () => servedVersion(root, 'Orders') === '1.0.0', 30_000);
    await waitUntil('it is held', () => statusIfAny(root)?.state === 'held', 30_000);
    assert.equal(Object.keys(statusIfAny(root)?.modules ?? {}).length, 4, watching.log());
  });

  it('starts a pod whose image cannot run what the ring ran last', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const DATABASE_URL = await createDatabase();
    const old = temporaryDirectory(t, 'root');
    assert.equal(
      (await reconcileOnce({ repo, root: old }, ['--replica', 'old'], { DATABASE_URL })).code,
      0,
    );
    for (const directory of ['Products', 'Orders']) {
      const file = `modules/${directory}/module.json`;
      const manifest = { ...JSON.parse(platform.read(file)), version: '2.0.0' };
      manifest.compatibility = { platform: '^3.0.0' };
      if (directory === 'Orders') manifest.dependencies = { products: '^2.0.0' };
      platform.write({ [file]: `${JSON.stringify(manifest)}\n` });
    }
    const communications = JSON.parse(platform.read('modules/Communications/module.json'));
    platform.write({
      VERSION: '3.0.0\n',
      'modules/Communications/module.json': `${JSON.stringify({ ...communications, version: '2.0.0', dependencies: { orders: '^2.0.0' } })}\n`,
    });
    deploy(platform, 'Platform 3');
    const image = join(temporaryDirectory(t, 'image'), 'VERSION');
    writeFileSync(image, '3.0.0\n');
    const fresh = temporaryDirectory(t, 'root');
    const { code, stderr } = await reconcileOnce(
      { repo, root: fresh },
      ['--replica', 'new', '--platform-file', image],
      { DATABASE_URL },
    );
    assert.equal(code, 0, stderr);
    assert.equal(servedVersion(fresh, 'Orders'), '2.0.0');
  });

  it('obeys a hold of another replica, also where no announcement is heard', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const databaseUrl = await createDatabase();
    const options = { repo, databaseUrl, withHealth: false };
    const speaker = await startReplica(t, 0, options);
    const deaf = await startReplica(t, 1, { ...options, more: ['--poll-only'] });
    await converged(speaker.root, platform.git('rev-parse', 'HEAD'));
    release(platform, 'Orders', '1.0.1');
    const second = deploy(platform, 'Orders 1.0.1');
    await converged(speaker.root, second);
    await converged(deaf.root, second);
    const args = ['rollback', 'orders', '--local', '--root', speaker.root];
    const rolled = await runCli(speaker.root, args);
    assert.equal(rolled.code, 0, rolled.stderr + speaker.watching.log());
    await waitUntil('the other obeys', () => deaf.served('Orders') === '1.0.0', 60_000);
    const status = await runCli(deaf.root, ['status', '--root', deaf.root]);
    assert.match(status.stdout, /holds orders at 1\.0\.0/);
  });

  it('stays on a held version that is sick, and says that it is degraded', async (t) => {
    const platform = createPlatform(t);
    platform.write({
      'manifests/ringlock.yaml':
        'health: {url: "http://127.0.0.1:1/", timeout: 400ms, stableFor: 50ms, interval: 20ms}\n',
    });
    deploy(platform, 'Ask for health');
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const application = await serveApplication(t, root);
    const { url } = application;
    const asked = ['--health-url', url, '--notify-url', url, ...noPolling];
    startWatching(t, { repo, root }, asked);
    await converged(root, platform.git('rev-parse', 'HEAD'));
    release(platform, 'Orders', '1.0.1');
    await converged(root, deploy(platform, 'Orders 1.0.1'));
    application.sick.add('1.0.0');
    const rolled = await runCli(root, ['rollback', 'orders', '--local', '--root', root]);
    assert.equal(rolled.code, 0, rolled.stderr);
    await waitUntil('it is degraded', () => statusIfAny(root)?.state === 'degraded', 30_000);
    const told = application.notified.length;
    assert.ok(told < 6, `the application was told ${told} times`);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    application.sick.clear();
    await waitUntil('it is well again', () => statusIfAny(root)?.state === 'converged', 30_000);
  });
});
