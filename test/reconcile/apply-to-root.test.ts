import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, it, type TestContext } from 'node:test';
import { withDatabase } from '../../src/audit/database.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import { applyToRoot, type PassFlags } from '../../src/reconcile/apply-to-root.ts';
import { askReconciler } from '../../src/reconcile/ask-operators.ts';
import { openReconciler } from '../../src/reconcile/open-reconciler.ts';
import { RingMemory } from '../../src/reconcile/ring/ring-memory.ts';
import { parseLock } from '../../src/repo/lock.ts';
import { readCurrentGeneration } from '../../src/store/generation.ts';
import { deploy, readStatusFile } from '../support/deploy.ts';
import { errorOf } from '../support/error-of.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { defaultOptions } from '../support/reconcile-options.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };

/** A root that serves, and another version's bytes that nobody has. */
async function createRoot(t: TestContext) {
  const platform = createPlatform(t);
  const root = temporaryDirectory(t, 'root');
  const { code } = await passInProcess({ repo: platform.path, root });
  assert.equal(code, 0);
  const served = (await readCurrentGeneration(root))?.lock.modules.get('orders');
  assert.ok(served);
  const nowhere = { ...served, tree: null, sha256: `sha256:${'0'.repeat(64)}` };
  const flags: PassFlags = { ...defaultOptions, repositories: [], workingDirectory: root };
  const wanted = { root, alias: 'orders', entry: nowhere, reason: 'mine', withDown: false };
  return { platform, root, served, flags, wanted: { ...wanted, switchedWithinMs: 500 } };
}

/** What the root's file says of a hold on Orders. */
function heldOnRoot(root: string): unknown {
  const { records } = JSON.parse(readFileSync(join(root, 'ring-memory.json'), 'utf8'));
  return records.find(({ kind }: { kind: string }) => kind === 'hold')?.value;
}

type Made = Awaited<ReturnType<typeof createRoot>>;

it('leaves a root with exactly what it held when a version is not served, whoever was to serve it', async (t) => {
  const made = await createRoot(t);
  await beside(made);
  await alone(made);
  await withoutMigrations(made);
});

/** Nothing is held that a running reconciler cannot serve or does not hear, and both failures are told. */
async function beside({ platform, root, served, flags, wanted }: Made): Promise<void> {
  const opened = await openReconciler(
    { ...defaultOptions, repositories: [platform.path], root, ring: 'canary' },
    log,
  );
  let isListening = false;
  const end = new AbortController();
  // Its first pass looks at every byte by itself.
  await opened.reconciler.reconcile(end.signal);
  const filed = () => readdirSync(join(root, 'requests'));
  const passes = (async () => {
    while (!end.signal.aborted) {
      if (isListening) await opened.reconciler.reconcile(end.signal);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  })();
  try {
    const unheard = await errorOf(applyToRoot({ ...wanted, takenWithinMs: 100 }, flags, log));
    assert.equal(unheard.code, 'request-not-taken');
    assert.match(unheard.hint ?? '', /withdrawn/);
    assert.deepEqual(filed(), []);
    isListening = true;
    // What is served, asked for anew, is looked at byte by byte.
    const file = realpathSync(join(root, 'current/Orders/src/index.mjs'));
    const right = readFileSync(file, 'utf8');
    chmodSync(file, 0o644);
    writeFileSync(file, 'damaged');
    await applyToRoot({ ...wanted, entry: served }, flags, log);
    await waitUntil(
      'it is right again',
      () => readFileSync(join(root, 'current/Orders/src/index.mjs'), 'utf8') === right,
    );
    await askReconciler(root, { kind: 'unhold', alias: 'orders' });
    // The version is the one that is served, its bytes are not.
    const impossible = await errorOf(applyToRoot(wanted, flags, log));
    assert.equal(impossible.code, 'not-switched');
    assert.deepEqual([heldOnRoot(root), filed()], [null, []]);
    const applying = errorOf(applyToRoot({ ...wanted, takenWithinMs: 4_000 }, flags, log));
    await waitUntil('it is held', () => heldOnRoot(root) !== null && filed().length === 0);
    isListening = false;
    const both = await applying;
    assert.equal(both.code, 'not-switched');
    assert.match(
      both.message,
      /does not serve orders 1\.0\.0.*before could not be brought back: no reconciler/,
    );
  } finally {
    end.abort();
    await passes;
    await opened.close();
  }
}

/** What was held before is brought back, also where only the ring knew of it. */
async function alone({ root, served, flags: plain, wanted }: Made): Promise<void> {
  const databaseUrl = await createDatabase();
  const flags = { ...plain, databaseUrl };
  const rows = () =>
    query<{ value: unknown }>(databaseUrl, 'select value from ring_memory where kind = $1', [
      'hold',
    ]);
  const before = {
    entry: served,
    reason: 'refunds',
    by: 'ada',
    since: '2026-01-02T03:04:05Z',
    withDown: true,
  };
  await withDatabase(databaseUrl, async (client) => {
    await ensureSchema(client);
    const elsewhere = RingMemory.without('canary', () => new Date());
    await elsewhere.sync(client);
    await elsewhere.hold('orders', before);
    await elsewhere.sync(client);
  });
  const failed = await errorOf(applyToRoot(wanted, flags, log));
  assert.equal(failed.code, 'not-served');
  assert.match(failed.message, /does not serve orders 1\.0\.0/);
  assert.deepEqual([heldOnRoot(root), await rows()], [before, [{ value: before }]]);
  const { entry: _, withDown: __, ...told } = before;
  assert.deepEqual((readStatusFile(root) as object as { holds: object }).holds, {
    orders: { version: '1.0.0', ...told },
  });
}

async function withoutMigrations({ platform, root, flags, wanted }: Made): Promise<void> {
  const migrationsUrl = await createDatabase();
  const up = 'create table refunds (id int);\n';
  platform.write({ 'modules/Orders/migrations/0001_refunds.up.sql': up });
  platform.setVersion('Orders', '1.0.1');
  deploy(platform, 'Orders 1.0.1');
  const entry = parseLock(platform.read('manifests/canary.lock.json'), 'canary').modules.get(
    'orders',
  );
  assert.ok(entry);
  const more = { migrationsUrl, skipMigrations: true };
  await applyToRoot({ ...wanted, entry }, { ...flags, ...more }, log);
  assert.equal(servedVersion(root, 'Orders'), '1.0.1');
  const tables = `select relname from pg_class where relkind = 'r' and relname in ('refunds', 'module_migrations')`;
  assert.deepEqual(await query(migrationsUrl, tables), []);
}
