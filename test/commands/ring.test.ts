import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { createPlatform, type Platform, writeLocks } from '../support/platform.ts';

const canaryToEdge = ['ring', 'promote', 'orders', '--from', 'canary', '--to', 'edge'];

/** A platform whose canary is one version of Orders ahead. */
function withNewOrders(t: TestContext): Platform {
  const platform = createPlatform(t);
  platform.change('Orders');
  platform.setVersion('Orders', '1.1.0');
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit('Orders 1.1.0');
  return platform;
}

test('ring list gives rings in promotion order with what touched their locks last', async (t) => {
  const platform = withNewOrders(t);
  const { code, stdout } = await runCli(platform.path, ['ring:list', '--json']);
  assert.equal(code, 0);
  const { rings } = JSON.parse(stdout);
  assert.deepEqual(
    rings.map(({ name, tracking, tenants, modules, platform: version, last_commit }: never) => [
      ...[name, tracking, tenants, modules, version],
      (last_commit as { subject: string }).subject,
    ]),
    [
      ['canary', true, 0, 4, '2.0.0', 'Orders 1.1.0'],
      ['edge', false, 0, 4, '2.0.0', 'Start the platform'],
      ['stable', false, 1, 4, '2.0.0', 'Start the platform'],
    ],
  );
  const text = (await runCli(platform.path, ['ring', 'list'])).stdout;
  assert.match(text, /^canary +tracks modules\/ +0 +4 +2\.0\.0 +[0-9a-f]{10} /m);
});

test('ring show lists tenants and modules, and names the rings there are', async (t) => {
  const platform = createPlatform(t);
  const shown = await runCli(platform.path, ['ring', 'show', 'stable', '--tenants', '--modules']);
  assert.match(shown.stdout, /^acme/m);
  assert.match(shown.stdout, /^orders +1\.0\.0 +sha256:/m);
  const unknown = await runCli(platform.path, ['ring', 'show', 'beta']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /no ring "beta"\n {2}Rings there: canary, edge, stable/);
});

test('ring assign edits one tenant, keeps the comments, and says the next step', async (t) => {
  const platform = createPlatform(t);
  platform.commit('Tenants', {
    'manifests/tenants.yaml':
      '# Ours.\ntenants:\n  acme: # the first\n    ring: stable # for now\n  foo: { ring: stable }\n',
  });
  const args = ['ring', 'assign', 'acme', 'edge', '--reason', 'opt-in'];
  const { code, stdout } = await runCli(platform.path, args);
  assert.equal(code, 0);
  assert.match(stdout, /Next: git commit -m "Move acme from stable to edge"/);
  assert.match(
    platform.read('manifests/tenants.yaml'),
    /^# Ours\.\ntenants:\n {2}acme: # the first\n {4}ring: edge # for now\n {4}reason: opt-in\n {4}since: \d{4}-\d\d-\d\d\n {2}foo: \{ ring: stable \}\n$/,
  );
  const again = await runCli(platform.path, args);
  assert.match(again.stdout, /sits on edge already; nothing changed/);
});

test('ring assign refuses unknown tenants and rings and writes nothing', async (t) => {
  const platform = createPlatform(t);
  for (const [tenant, ring, message] of [
    ['nobody', 'edge', /no tenant "nobody"\n {2}Tenants there: acme/],
    ['acme', 'beta', /no ring "beta"/],
  ] as const) {
    const { code, stderr } = await runCli(platform.path, [
      ...['ring', 'assign', tenant, ring, '--reason', 'x'],
    ]);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('ring promote copies the entry, touches nothing else, and a second time changes nothing', async (t) => {
  const platform = withNewOrders(t);
  const canary = JSON.parse(platform.read('manifests/canary.lock.json'));
  const edge = JSON.parse(platform.read('manifests/edge.lock.json'));
  const { code, stdout } = await runCli(platform.path, [...canaryToEdge, '--json']);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).before.version, '1.0.0');
  assert.equal(platform.git('status', '--porcelain'), ' M manifests/edge.lock.json');
  assert.deepEqual(JSON.parse(platform.read('manifests/edge.lock.json')), {
    ...edge,
    modules: { ...edge.modules, orders: canary.modules.orders },
  });
  const again = await runCli(platform.path, canaryToEdge);
  assert.match(again.stdout, /edge has orders 1\.1\.0 already; nothing changed/);
});

test('ring promote refuses an entry whose tree has another digest, and one that git does not have', async (t) => {
  const platform = withNewOrders(t);
  const lock = JSON.parse(platform.read('manifests/canary.lock.json'));
  const right = lock.modules.orders;
  for (const [entry, message] of [
    [{ ...right, sha256: `sha256:${'0'.repeat(64)}` }, /its tree has the digest sha256:/],
    [{ ...right, version: '1.2.0' }, /its tree has the version 1\.1\.0, expected 1\.2\.0/],
    [{ ...right, tree: 'f'.repeat(40) }, /cannot be found/],
    [{ ...right, tree: null }, /cannot be found/],
  ] as const) {
    lock.modules.orders = entry;
    platform.write({ 'manifests/canary.lock.json': JSON.stringify(lock) });
    const { code, stderr } = await runCli(platform.path, canaryToEdge);
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
  }
  assert.equal(platform.git('diff', '--name-only', '--', 'manifests/edge.lock.json'), '');
});

test('ring promote refuses to skip a ring', async (t) => {
  const platform = withNewOrders(t);
  const args = ['ring', 'promote', 'orders', '--from', 'canary', '--to', 'stable'];
  const { code, stderr } = await runCli(platform.path, args);
  assert.equal(code, 1);
  assert.match(stderr, /stable\.ring\.yaml promotes from edge, not from canary/);
});
