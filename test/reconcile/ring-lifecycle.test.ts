import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { deploy, push, readEvents, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { servedVersion, startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

/** A handler that appends what it was given to a file. */
function loggingHandler(file: string): string {
  return `import { appendFileSync, readFileSync } from 'node:fs';
const context = JSON.parse(readFileSync(0, 'utf8'));
appendFileSync(${JSON.stringify(file)}, JSON.stringify(context) + '\\n');
console.log('handled', context.event);
`;
}

function linesOf(file: string): Record<string, unknown>[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

interface Place {
  readonly platform: Platform;
  readonly repo: string;
  readonly log: string;
  readonly ringUrl: string;
  readonly applicationUrl: string;
}

async function createPlace(t: TestContext): Promise<Place> {
  const platform = createPlatform(t);
  return {
    platform,
    repo: platform.addRemote(t),
    log: join(temporaryDirectory(t, 'log'), 'handled.jsonl'),
    ringUrl: await createDatabase(),
    applicationUrl: await createDatabase(),
  };
}

function environment({ ringUrl, applicationUrl }: Place): NodeJS.ProcessEnv {
  return { DATABASE_URL: ringUrl, MIGRATIONS_DATABASE_URL: applicationUrl };
}

const tables = (url: string) =>
  query<{ name: string }>(
    url,
    `select relname as name from pg_class where relkind = 'r' and relname in ('refunds', 'returns') order by 1`,
  ).then((rows) => rows.map(({ name }) => name));

describe('migrations and handlers of a ring', { concurrency: 2 }, () => {
  it('run once for three replicas, before and after the switch', async (t) => {
    const place = await createPlace(t);
    const { platform, repo, log, ringUrl, applicationUrl } = place;
    const replicas = await Promise.all(
      [0, 1, 2].map((index) =>
        startReplica(t, index, { repo, environment: environment(place), withHealth: false }),
      ),
    );
    const all = (version: string) =>
      waitUntil(
        `all serve Orders ${version}`,
        () =>
          replicas.every(
            ({ root }) =>
              servedVersion(root, 'Orders') === version &&
              readStatusFile(root).state === 'converged',
          ),
        60_000,
      );
    await all('1.0.0');
    platform.write({
      'modules/Orders/migrations/0001_refunds.up.sql':
        'create table refunds (id int);\ninsert into refunds values (1);\n',
      'modules/Orders/migrations/0001_refunds.down.sql':
        '-- ringlock: safe-down\ndrop table refunds;\n',
      'modules/Orders/lifecycle/on-upgrade.mjs': loggingHandler(log),
      'modules/Orders/lifecycle/warm.mjs': loggingHandler(`${log}.replica`),
    });
    const handlers = {
      onUpgrade: 'lifecycle/on-upgrade.mjs',
      onDowngrade: { run: 'lifecycle/on-upgrade.mjs', idempotent: true },
    };
    platform.setVersion('Orders', '1.1.0', { lifecycle: handlers });
    deploy(platform, 'Orders 1.1.0');
    await all('1.1.0');
    assert.deepEqual(await query(applicationUrl, 'select id from refunds'), [{ id: 1 }]);
    const [upgrade, ...more] = linesOf(log);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [upgrade?.['event'], upgrade?.['fromVersion'], upgrade?.['toVersion'], upgrade?.['ring']],
      ['onUpgrade', '1.0.0', '1.1.0', 'canary'],
    );
    // A revert goes down once everybody has left: the code is the newer version's.
    platform.git('revert', '--no-edit', 'HEAD');
    push(platform, platform.git('rev-parse', 'HEAD'));
    await all('1.0.0');
    await waitUntil('the schema is back', async () => (await tables(applicationUrl)).length === 0);
    assert.deepEqual(
      linesOf(log).map(({ event }) => event),
      ['onUpgrade', 'onDowngrade'],
    );
    const steps = await query<{ key: string; state: string }>(
      ringUrl,
      `select split_part(key, ' 1.', 1) as key, state from ring_steps where key like 'handler %'
       order by started_at`,
    );
    assert.deepEqual(steps, [
      { key: 'handler orders onUpgrade', state: 'succeeded' },
      { key: 'handler orders onDowngrade', state: 'succeeded' },
    ]);
  });

  it('turn the operation back when a migration fails, with the schema as before', async (t) => {
    const place = await createPlace(t);
    const { platform, repo, applicationUrl } = place;
    const root = temporaryDirectory(t, 'root');
    const pass = () => reconcileOnce({ repo, root }, [], environment(place));
    assert.equal((await pass()).code, 0);
    platform.write({
      'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
      'modules/Orders/migrations/0001_refunds.down.sql': 'drop table refunds;\n',
      'modules/Orders/migrations/0002_broken.up.sql':
        'create table returns (id int);\nselect 1/0;\n',
    });
    platform.setVersion('Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    const { code, stderr } = await pass();
    assert.equal(code, 1, stderr);
    assert.match(stderr, /0002_broken/);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    assert.deepEqual(await tables(applicationUrl), []);
    assert.equal(readStatusFile(root).state, 'held');
    // Mended under another version, it goes.
    platform.write({
      'modules/Orders/migrations/0002_broken.up.sql': 'create table returns (id int);\n',
    });
    platform.setVersion('Orders', '1.1.1');
    deploy(platform, 'Orders 1.1.1');
    const mended = await pass();
    assert.equal(mended.code, 0, mended.stderr);
    assert.deepEqual(await tables(applicationUrl), ['refunds', 'returns']);
  });

  it('turn the operation back when a handler fails, after the switch', async (t) => {
    const place = await createPlace(t);
    const { platform, repo } = place;
    const root = temporaryDirectory(t, 'root');
    const pass = () => reconcileOnce({ repo, root }, [], environment(place));
    assert.equal((await pass()).code, 0);
    platform.write({
      'modules/Orders/lifecycle/up.mjs': 'console.error("no room at the inn");\nprocess.exit(4);\n',
    });
    platform.setVersion('Orders', '1.1.0', { lifecycle: { onUpgrade: 'lifecycle/up.mjs' } });
    deploy(platform, 'Orders 1.1.0');
    const { code, stderr } = await pass();
    assert.equal(code, 1, stderr);
    assert.match(stderr, /no room at the inn/);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const outcomes = readEvents(root)
      .filter(({ module }) => module === 'orders')
      .map(({ action, outcome }) => `${action} ${outcome}`);
    assert.deepEqual(outcomes, ['install succeeded', 'upgrade succeeded', 'upgrade reverted']);
  });

  it('leave the schema ahead when a step down is not marked as safe', async (t) => {
    const place = await createPlace(t);
    const { platform, repo, applicationUrl } = place;
    const root = temporaryDirectory(t, 'root');
    const pass = () => reconcileOnce({ repo, root }, [], environment(place));
    assert.equal((await pass()).code, 0);
    platform.write({
      'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
      'modules/Orders/migrations/0001_refunds.down.sql': 'drop table refunds;\n',
    });
    platform.setVersion('Orders', '1.1.0');
    deploy(platform, 'Orders 1.1.0');
    assert.equal((await pass()).code, 0);
    platform.git('revert', '--no-edit', 'HEAD');
    push(platform, platform.git('rev-parse', 'HEAD'));
    const back = await pass();
    assert.equal(back.code, 0, back.stderr);
    assert.match(back.stderr, /the schema is ahead: orders 0001_refunds/);
    assert.deepEqual(await tables(applicationUrl), ['refunds']);
    const rows = await query(
      applicationUrl,
      'select module, name, ahead_since is not null as ahead from module_migrations',
    );
    assert.deepEqual(rows, [{ module: 'orders', name: '0001_refunds', ahead: true }]);
  });

  it('fire tenant handlers once when tenants.yaml changes', async (t) => {
    const place = await createPlace(t);
    const { platform, repo, log } = place;
    const root = temporaryDirectory(t, 'root');
    const pass = () => reconcileOnce({ repo, root }, [], environment(place));
    platform.write({ 'modules/Orders/lifecycle/tenant.mjs': loggingHandler(log) });
    const run = 'lifecycle/tenant.mjs';
    platform.setVersion('Orders', '1.1.0', { lifecycle: { onEnable: run, onDisable: run } });
    deploy(platform, 'Orders 1.1.0');
    assert.equal((await pass()).code, 0);
    assert.deepEqual(
      linesOf(log),
      [],
      'a ring that is met for the first time takes the file as it is',
    );
    const tenants = (text: string) => {
      platform.write({ 'manifests/tenants.yaml': text });
      push(platform, platform.commit('Move tenants'));
    };
    tenants('tenants:\n  acme: {ring: canary, modules: [orders, products]}\n');
    assert.equal((await pass()).code, 0);
    tenants(
      'tenants:\n  acme: {ring: stable, modules: [orders, products]}\n  foo: {ring: canary, modules: [orders]}\n',
    );
    assert.equal((await pass()).code, 0);
    assert.equal((await pass()).code, 0);
    assert.deepEqual(
      linesOf(log).map(({ event, tenant }) => `${event} ${tenant}`),
      ['onEnable acme', 'onDisable acme', 'onEnable foo'],
    );
    const rows = await query(place.ringUrl, 'select id, ring, enabled_modules from tenants');
    assert.deepEqual(rows, [{ id: 'foo', ring: 'canary', enabled_modules: ['orders'] }]);
    writeFileSync(log, '');
  });
});
