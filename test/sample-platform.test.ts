import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import pg from 'pg';
import { findIncompatibilities } from '../src/repo/graph.ts';
import { formatLock, parseLock } from '../src/repo/lock.ts';
import { type ModuleManifest, parseModuleManifest } from '../src/repo/module-manifest.ts';
import { lockFile, ringFile, tenantsFile } from '../src/repo/names.ts';
import { parsePlatformVersion } from '../src/repo/platform.ts';
import { parseRingFile, promotionOrder } from '../src/repo/ring.ts';
import { parseSettings } from '../src/repo/settings.ts';
import { parseTenantsFile } from '../src/repo/tenants.ts';
import { runCli } from './support/cli.ts';
import { createDatabase, stopOwnPostgres } from './support/postgres.ts';
import { temporaryDirectory } from './support/temporary.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const ringNames = ['canary', 'edge', 'stable'];
const directories = readdirSync(join(root, 'modules'));
const manifests = new Map<string, ModuleManifest>(
  directories.map((directory) => {
    const file = `modules/${directory}/module.json`;
    return [directory, parseModuleManifest(read(file), file)];
  }),
);

after(stopOwnPostgres);

test('the sample modules run on the platform and with each other', () => {
  const modules = new Map([...manifests.values()].map((manifest) => [manifest.alias, manifest]));
  assert.deepEqual(findIncompatibilities(modules, parsePlatformVersion(read('VERSION'))), []);
  for (const dependent of ['store-shopify', 'communications', 'mobile-app']) {
    assert.ok(modules.get(dependent)?.dependencies.has('orders'), `${dependent} needs orders`);
  }
  assert.ok(modules.get('orders')?.dependencies.has('products'));
});

test('every changelog has a heading for the version of its module', () => {
  for (const [directory, { changelog, version }] of manifests) {
    assert.match(read(`modules/${directory}/${changelog}`), new RegExp(`^## ${version}$`, 'm'));
  }
});

test('every lifecycle handler named in a module.json is there and distributed', () => {
  for (const [directory, { lifecycle }] of manifests) {
    for (const { run } of Object.values(lifecycle)) {
      accessSync(join(root, 'modules', directory, run), constants.R_OK);
    }
  }
});

test('the sample rings promote canary → edge → stable, and their tenants sit on rings there are', () => {
  parseSettings(read('manifests/ringlock.yaml'));
  const rings = ringNames.map((name) => parseRingFile(read(ringFile(name)), name).ring);
  assert.deepEqual(
    promotionOrder(rings).map(({ name }) => name),
    ringNames,
  );
  const { tenants } = parseTenantsFile(read(tenantsFile));
  assert.deepEqual(
    [...tenants.values()].map(({ id, ring }) => `${id}@${ring}`),
    ['acme@stable', 'foo@stable', 'widgets@edge', 'bar@edge', 'internal-qa@canary'],
  );
});

test('the sample locks are in the one byte form', () => {
  for (const ring of ringNames) {
    assert.equal(formatLock(parseLock(read(lockFile(ring)), ring)), read(lockFile(ring)));
  }
});

test('the canary lock has the digests that find, sort and sha256sum print', () => {
  const lock = parseLock(read(lockFile('canary')), 'canary');
  assert.equal(lock.modules.size, directories.length);
  for (const [directory, { alias, version, distribution }] of manifests) {
    const left = distribution.exclude.map((name) => `! -path './${name}*'`).join(' ');
    const pipeline = `find . -type f ! -name '*.pyc' ${left} | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum -- | sha256sum`;
    const printed = execFileSync('sh', ['-c', pipeline], {
      cwd: join(root, 'modules', directory),
      encoding: 'utf8',
    });
    const entry = lock.modules.get(alias);
    assert.equal(entry?.sha256, `sha256:${printed.slice(0, 64)}`, directory);
    assert.equal(entry?.version, version);
  }
});

test('a lock pins the git tree of its module', () => {
  const lock = parseLock(read(lockFile('canary')), 'canary');
  for (const [alias, { directory, tree }] of lock.modules) {
    const printed = spawnSync('git', ['rev-parse', `HEAD:modules/${directory}`], { cwd: root });
    if (printed.status !== 0) continue; // Sources without history: nothing to compare with.
    assert.equal(tree, printed.stdout.toString().trim(), alias);
  }
});

test('the program itself finds the sample locks right', async () => {
  const { code, stdout, stderr } = await runCli(root, ['verify']);
  assert.equal(code, 0, stdout + stderr);
});

test('the migrations of all modules go up, down and up again on PostgreSQL', async () => {
  const client = new pg.Client({ connectionString: await createDatabase() });
  await client.connect();
  try {
    const up = [...manifests].flatMap(([directory, { migrations }]) => {
      const folder = join('modules', directory, migrations);
      const names = readdirSync(join(root, folder)).sort();
      return names.filter((name) => name.endsWith('.up.sql')).map((name) => join(folder, name));
    });
    const down = up.map((file) => file.replace(/\.up\.sql$/, '.down.sql')).reverse();
    assert.ok(down.every((file) => existsSync(join(root, file))));
    for (const file of [...up, ...down, ...up]) await client.query(read(file));
    const { rows } = await client.query(
      `select count(*)::int as tables from information_schema.tables where table_schema = 'public'`,
    );
    assert.deepEqual(rows, [{ tables: 7 }]);
  } finally {
    await client.end();
  }
});

test('Products lists a catalogue that Orders prices an order against', (t) => {
  const catalogue = runModule(t, 'Products', 'python3', ['products.py', 'list']);
  if (catalogue === undefined) return;
  const order = join(temporaryDirectory(t), 'order.json');
  writeFileSync(order, '{"id":"A-1","lines":[{"sku":"MUG-BLUE","quantity":6}]}');
  const priced = runModule(t, 'Orders', 'node', ['bin/orders.mjs', 'price', order], catalogue);
  assert.equal(JSON.parse(priced ?? '').total, 6900);
  runModule(t, 'Products', 'python3', ['tests/test_products.py']);
});

test("Orders passes its own tests, and its upgrade handler prices the version's example", (t) => {
  runModule(t, 'Orders', 'node', ['--test', 'test/']);
  const output = runModule(t, 'Orders', 'node', ['lifecycle/on-upgrade.mjs'], upgradeOf('Orders'));
  assert.equal(JSON.parse(output ?? '').total, 3990);
});

test('StoreShopify passes its own tests and refuses an unsigned webhook', (t) => {
  if (runModule(t, 'StoreShopify', 'php', ['tests/map_order.php']) === undefined) return;
  const refusedWebhook = spawnSync('php', ['bin/receive-order', 'wrong'], {
    cwd: join(root, 'modules/StoreShopify'),
    input: '{}',
    env: { ...process.env, SHOPIFY_WEBHOOK_SECRET: 'secret' },
  });
  assert.equal(refusedWebhook.status, 1);
});

test('Communications renders a message, and its handler accepts the templates', (t) => {
  const order = JSON.stringify({ id: 'A-7', total: 3990, customer: { name: 'Ada' } });
  const args = ['bin/render-message', 'order-confirmed', 'en'];
  assert.match(
    runModule(t, 'Communications', 'sh', args, order) ?? '',
    /Hello Ada,[\s\S]*total is €39\.90/,
  );
  runModule(
    t,
    'Communications',
    'node',
    ['lifecycle/check-templates.mjs'],
    upgradeOf('Communications'),
  );
});

test('MobileApp answers with the newest orders first', (t) => {
  const orders = ['01', '03', '02'].map((day) => ({
    number: `A-${day}`,
    state: 'paid',
    updated_at: `2026-11-${day}T08:00:00Z`,
  }));
  const args = ['src/order-feed.mjs', '--since', '2026-11-01T08:00:00Z'];
  const feed = JSON.parse(runModule(t, 'MobileApp', 'node', args, JSON.stringify(orders)) ?? '');
  assert.deepEqual(
    feed.orders.map(({ number }: { number: string }) => number),
    ['A-03', 'A-02'],
  );
  assert.equal(feed.cursor, '2026-11-03T08:00:00Z');
});

/** Runs a module's file; skips, unless nothing may be skipped, where its interpreter is missing. */
function runModule(
  t: TestContext,
  directory: string,
  interpreter: string,
  args: readonly string[],
  input = '',
): string | undefined {
  const required = process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1';
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const result = spawnSync(interpreter, args, {
    cwd: join(root, 'modules', directory),
    input,
    encoding: 'utf8',
    env: { ...environment, PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (result.error !== undefined && !required) {
    t.skip(`${interpreter} is not installed`);
    return undefined;
  }
  assert.equal(result.status, 0, result.error?.message ?? `${result.stdout}${result.stderr}`);
  return result.stdout;
}

function upgradeOf(directory: string): string {
  return JSON.stringify({
    event: 'onUpgrade',
    ring: 'canary',
    fromVersion: '0.9.0',
    toVersion: '1.0.0',
    sourcePath: join(root, 'modules', directory),
    operationId: '0',
  });
}
