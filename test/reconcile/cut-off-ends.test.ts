import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { type Fault, runFaulty } from '../chaos/faulty-process.ts';
import { serveApplication } from '../support/application.ts';
import { deploy, push, readEvents, readStatusFile, release } from '../support/deploy.ts';
import { fileRequest } from '../support/file-request.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

/** A step of the disk, `<operation> <path>` as a regular expression, and which of them is the last. */
type LastStep = readonly [matching: string, at: number];

/** A pod with an application and a database for migrations, on which Orders 1.0.0 serves. */
async function createPod(t: TestContext, ringUrl: string | undefined) {
  const platform = createPlatform(t);
  platform.write({
    'manifests/ringlock.yaml':
      'health:\n  url: http://127.0.0.1:1/\n  timeout: 1500ms\n  stableFor: 50ms\n  interval: 20ms\n',
  });
  deploy(platform, 'Ask for health');
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  const schemaUrl = await createDatabase();
  const application = await serveApplication(t, root, ['1.1.0']);
  const environment = { DATABASE_URL: ringUrl, MIGRATIONS_DATABASE_URL: schemaUrl };
  const faultyPass = (fault: Fault | undefined, where = repo) => {
    const { url } = application;
    const args = ['reconcile', '--once', '--repo', where, '--root', root, '--ring', 'canary'];
    return runFaulty({
      cwd: root,
      root,
      args: [...args, '--health-url', url, '--notify-url', `${url}/reload`],
      environment,
      ...(fault && { fault }),
    });
  };
  const pass = async (lastStep?: LastStep, where = repo) => {
    const [matching = '', at = 1] = lastStep ?? [];
    const kill = { of: 'step', at, how: 'kill', matching } as const;
    const end = await faultyPass(lastStep && kill, where);
    assert.equal(end.signal, lastStep === undefined ? null : 'SIGKILL', end.stderr);
    return end;
  };
  assert.equal((await pass()).code, 0);
  return { platform, root, schemaUrl, application, pass, faultyPass };
}

function addMigration(platform: Platform, version: string, directives: string): void {
  release(platform, 'Orders', version);
  platform.write({
    'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
    'modules/Orders/migrations/0001_refunds.down.sql': `${directives}drop table refunds;\n`,
  });
}

const tables = `select relname from pg_class where relname = 'refunds'`;

describe('what is cut off at its end', { concurrency: 2 }, () => {
  it('going back: the ring, the schema and the application follow after a restart', async (t) => {
    const ringUrl = await createDatabase();
    const { platform, root, schemaUrl, application, pass } = await createPod(t, ringUrl);
    addMigration(platform, '1.1.0', '-- ringlock: safe-down\n');
    deploy(platform, 'Orders 1.1.0');
    // The first events are those of the switch, the second those of the revert.
    await pass(['^datasync audit/', 3]);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    assert.equal(application.loaded(), '1.1.0');
    const { code, stderr } = await pass();
    assert.equal(code, 1, stderr);
    assert.equal(application.loaded(), '1.0.0');
    assert.deepEqual(await query(schemaUrl, tables), []);
    const states = await query(ringUrl, 'select state from ring_operations order by created_at');
    assert.deepEqual(states.at(-1), { state: 'reverted' });
    const told = readEvents(root)
      .slice(-3)
      .map(({ action, outcome }) => `${action} ${outcome}`);
    assert.deepEqual(told, ['upgrade succeeded', 'upgrade reverted', 'operation reverted']);
  });

  it('a git revert: no step down that only a person may ask for is run', async (t) => {
    const { platform, root, schemaUrl, pass } = await createPod(t, undefined);
    addMigration(platform, '1.2.0', '');
    deploy(platform, 'Orders 1.2.0');
    assert.equal((await pass()).code, 0);
    platform.git('revert', '--no-edit', 'HEAD');
    push(platform, platform.git('rev-parse', 'HEAD'));
    // Begun, migrated (begun and ended), committed; then the schema is to follow.
    await pass(['^rename ring/ring-steps', 4]);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const { code, stderr } = await pass();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await query(schemaUrl, tables), [{ relname: 'refunds' }]);
    assert.match(stderr, /the schema is ahead: orders 0001_refunds/);
    const status: unknown = readStatusFile(root);
    assert.equal((status as { outbox_pending: unknown }).outbox_pending, null);
  });

  it('a wish: it is obeyed with git still away, and told once', async (t) => {
    const { platform, root, pass } = await createPod(t, undefined);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    assert.equal((await pass()).code, 0);
    await fileRequest(root, ['rollback', 'orders']);
    const away = `${root}-away`;
    // Taken and told, but still filed; then filed no more, but not done.
    await pass(['^rm requests/', 1], away);
    await pass(['^mkdir generations', 1], away);
    const { code } = await pass(undefined, away);
    assert.equal(code, 3);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const wishes = readEvents(root).filter(({ action }) => action === 'operator');
    assert.deepEqual(
      wishes.map(({ module, to }) => `${module} ${to}`),
      ['orders 1.0.0'],
    );
  });

  it('a look at a handler: a disk that fails says nothing of its version', async (t) => {
    const { platform, root, pass, faultyPass } = await createPod(t, undefined);
    release(platform, 'Orders', '1.2.0');
    const file = 'modules/Orders/module.json';
    const lifecycle = { onUpgrade: { run: 'up.mjs', idempotent: true } };
    platform.write({
      [file]: JSON.stringify({ ...JSON.parse(platform.read(file)), lifecycle }),
      'modules/Orders/up.mjs': 'console.log("up");\n',
    });
    deploy(platform, 'Orders 1.2.0');
    const matching = '^realpath versions/orders/1\\.2\\.0-[0-9a-f]+/up\\.mjs';
    const failed = await faultyPass({ of: 'read', at: 1, how: 'throw', matching });
    assert.equal(failed.code, 3, failed.stderr);
    assert.ok(failed.struck !== undefined);
    const { code, stderr } = await pass();
    assert.equal(code, 0, stderr);
    assert.equal(servedVersion(root, 'Orders'), '1.2.0');
  });

  for (const hasDatabase of [true, false]) {
    const where = hasDatabase ? '' : ' without a database of the ring';
    it(`an upgrade before its switch, then reverted: its migrations go${where}`, async (t) => {
      const ringUrl = hasDatabase ? await createDatabase() : undefined;
      const { platform, root, schemaUrl, pass } = await createPod(t, ringUrl);
      addMigration(platform, '1.2.0', '-- ringlock: safe-down\n');
      deploy(platform, 'Orders 1.2.0');
      await pass(['^writeFile journal', 1]);
      assert.deepEqual(await query(schemaUrl, tables), [{ relname: 'refunds' }]);
      platform.git('revert', '--no-edit', 'HEAD');
      push(platform, platform.git('rev-parse', 'HEAD'));
      const { code, stderr } = await pass();
      assert.equal(code, 0, stderr);
      assert.equal(servedVersion(root, 'Orders'), '1.0.0');
      assert.deepEqual(await query(schemaUrl, tables), []);
    });
  }
});
