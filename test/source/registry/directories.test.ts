import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openRegistries } from '../../../src/source/registry/open-registries.ts';
import type { Registry } from '../../../src/source/registry/registry.ts';
import { unfinishedName } from '../../../src/source/registry/unfinished.ts';
import { errorOf } from '../../support/error-of.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { serveWebdav, type WebdavOptions } from '../../support/webdav-server.ts';
import { collect, never, packageOf } from './kinds.ts';

function open(kind: 'directory' | 'http', url: string): Registry {
  const settings = { kind, url, project: undefined, tokenVariable: 'MODULE_REGISTRY_TOKEN' };
  const [registry] = openRegistries({ registries: [settings] }, {}, { retryDelayMs: 5 });
  assert.ok(registry !== undefined);
  return registry;
}

async function openWeb(t: TestContext, options: WebdavOptions = {}) {
  const directory = temporaryDirectory(t, 'web');
  return { directory, registry: open('http', await serveWebdav(t, directory, options)) };
}

test('lays files out as documented, the digest as sha256sum writes it', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const module = packageOf('1.0.0');
  await open('directory', directory).publish(module, never);
  const at = join(directory, 'orders/1.0.0');
  assert.deepEqual(readdirSync(at).sort(), [
    ...['MANIFEST.json', 'Orders-1.0.0.zip', 'Orders-1.0.0.zip.sha256'],
  ]);
  assert.equal(readFileSync(join(at, 'MANIFEST.json'), 'utf8'), module.manifest);
  const sum = readFileSync(join(at, 'Orders-1.0.0.zip.sha256'), 'utf8');
  assert.equal(sum, `${module.sha256.slice('sha256:'.length)}  Orders-1.0.0.zip\n`);
});

test('a directory that any web server gives out is a registry', async (t) => {
  const { directory, registry } = await openWeb(t, { isReadOnly: true });
  const local = open('directory', directory);
  await local.publish(packageOf('1.0.0'), never);
  const { artifact } = await local.publish(packageOf('1.1.0', 'more'), never);
  assert.deepEqual(await registry.versions('orders'), ['1.0.0', '1.1.0']);
  const found = await registry.find('orders', '1.1.0');
  assert.ok(found !== undefined);
  assert.equal(found.sha256, artifact.sha256);
  assert.equal(found.released_at, artifact.released_at);
  assert.deepEqual(await collect(registry.read(found, never)), packageOf('1.1.0', 'more').zip);
  const error = await errorOf(registry.publish(packageOf('1.2.0'), never));
  assert.equal(error.code, 'registry-read-only');
  assert.match(error.hint ?? '', /kind: directory/);
});

test('what a killed publisher left is no version', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  await registry.publish(packageOf('1.0.0'), never);
  mkdirSync(join(directory, 'orders/.1.1.0.0123456789ab.tmp'));
  writeFileSync(join(directory, 'orders/.1.1.0.0123456789ab.tmp/Orders-1.1.0.zip'), 'half');
  mkdirSync(join(directory, 'orders/1.2.0'));
  assert.deepEqual(await registry.versions('orders'), ['1.0.0']);
  assert.equal((await registry.publish(packageOf('1.1.0'), never)).outcome, 'published');
  assert.equal((await registry.publish(packageOf('1.2.0'), never)).outcome, 'published');
});

test('what killed publishers left is swept by the next one, and nothing of a living one', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  await registry.publish(packageOf('1.0.0'), never);
  const orders = join(directory, 'orders');
  const ours = await unfinishedName('1.1.0');
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const deads = ours.replace(`-${process.pid}.`, `-${dead}.`);
  assert.notEqual(deads, ours);
  const elsewhere = deads.replace(/[0-9a-f]{8}-/, '00000000-');
  const old = '.1.1.0.0123456789ab.tmp';
  const kept = [ours, elsewhere, '.1.1.0.ba9876543210.tmp', '.htaccess', '.v1.tmp'];
  const oldIndex = '.index.json.0123456789ab.tmp';
  for (const name of [...kept, deads, old]) {
    mkdirSync(join(orders, name));
    writeFileSync(join(orders, name, 'Orders-1.1.0.zip'), 'half');
  }
  writeFileSync(join(orders, oldIndex), '{');
  const before = Date.now() / 1000 - 25 * 3600;
  for (const name of [old, oldIndex, '.v1.tmp']) utimesSync(join(orders, name), before, before);
  await registry.publish(packageOf('1.1.0'), never);
  assert.deepEqual(readdirSync(orders).sort(), [...kept, '1.0.0', '1.1.0', 'index.json'].sort());
});

test('a lost or broken index.json is written anew', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  await registry.publish(packageOf('1.0.0'), never);
  const file = join(directory, 'orders/index.json');
  const right = readFileSync(file, 'utf8');
  writeFileSync(file, 'broken');
  await registry.publish(packageOf('1.0.0'), never);
  assert.equal(readFileSync(file, 'utf8'), right);
  rmSync(file);
  await registry.publish(packageOf('1.0.0'), never);
  assert.equal(readFileSync(file, 'utf8'), right);
});

test('many who publish at once are all in the index', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const web = open('http', await serveWebdav(t, directory));
  const versions = Array.from({ length: 8 }, (_, index) => `1.${index}.0`);
  await Promise.all(
    versions.map((version) =>
      open('directory', directory).publish(packageOf(version, version, 99), never),
    ),
  );
  assert.deepEqual(await web.versions('orders'), versions);
  assert.deepEqual(
    readdirSync(join(directory, 'orders')).filter((name) => name.includes('.tmp')),
    [],
  );
});

test('a file where the directory should be is said', async (t) => {
  const directory = join(temporaryDirectory(t, 'packages'), 'file');
  writeFileSync(directory, 'x');
  const error = await errorOf(open('directory', directory).publish(packageOf('1.0.0'), never));
  assert.equal(error.code, 'disk-failed');
  assert.match(error.message, /file/);
});

test('released_at is when it was published, not when it is asked', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  await registry.publish(packageOf('1.0.0'), never);
  const zip = join(directory, 'orders/1.0.0/Orders-1.0.0.zip');
  utimesSync(zip, 1_700_000_000, 1_700_000_000);
  assert.equal((await registry.find('orders', '1.0.0'))?.released_at, '2023-11-14T22:13:20Z');
});

test('web: whoever publishes at once with others is not lost from the index', async (t) => {
  const { registry } = await openWeb(t);
  const versions = Array.from({ length: 5 }, (_, index) => `1.${index}.0`);
  await Promise.all(
    versions.map((version) => registry.publish(packageOf(version, version, 99), never)),
  );
  assert.deepEqual(await registry.versions('orders'), versions);
});

test('web: an index that somebody else writes in between loses nothing', async (t) => {
  const directory = temporaryDirectory(t, 'web');
  const proxy = await startFaultProxy(t, await serveWebdav(t, directory));
  const registry = open('http', proxy.url);
  await registry.publish(packageOf('1.0.0'), never);
  const file = join(directory, 'orders/index.json');
  let isFirst = true;
  proxy.fault = ({ method, path }) => {
    if (method !== 'PUT' || !path.endsWith('index.json') || !isFirst) return undefined;
    isFirst = false;
    // Another publisher's version is there between our reading and our writing.
    const { versions } = JSON.parse(readFileSync(file, 'utf8'));
    const other = { ...versions['1.0.0'], file: 'Orders-3.0.0.zip' };
    writeFileSync(file, JSON.stringify({ versions: { ...versions, '3.0.0': other } }));
    return undefined;
  };
  await registry.publish(packageOf('2.0.0'), never);
  assert.deepEqual(await registry.versions('orders'), ['1.0.0', '2.0.0', '3.0.0']);
});

test('web: a server that heeds no conditions still keeps the first bytes', async (t) => {
  const { registry, directory } = await openWeb(t, { heedsConditions: false });
  const module = packageOf('1.0.0');
  assert.equal((await registry.publish(module, never)).outcome, 'published');
  assert.equal((await registry.publish(packageOf('1.1.0'), never)).outcome, 'published');
  const error = await errorOf(registry.publish(packageOf('1.0.0', 'other'), never));
  assert.equal(error.code, 'version-published');
  assert.deepEqual(await registry.versions('orders'), ['1.0.0', '1.1.0']);
  const zip = readFileSync(join(directory, 'orders/1.0.0/Orders-1.0.0.zip'));
  assert.ok(zip.equals(module.zip));
});

test('web: other bytes that a broken release left under the version are refused', async (t) => {
  const { registry, directory } = await openWeb(t);
  mkdirSync(join(directory, 'orders/1.0.0'), { recursive: true });
  writeFileSync(join(directory, 'orders/1.0.0/Orders-1.0.0.zip'), 'other bytes');
  const error = await errorOf(registry.publish(packageOf('1.0.0'), never));
  assert.equal(error.code, 'version-published');
  assert.ok(!existsSync(join(directory, 'orders/index.json')));
});

test('web: an index that is none is said, with its place', async (t) => {
  const { registry, directory } = await openWeb(t);
  mkdirSync(join(directory, 'orders'));
  const bad = [
    '<html>',
    '[]',
    '{"versions": {"1.0.0": {"file": "../../../etc/passwd"}}}',
    '{"versions": {"1.0.0": {"file": "Orders-1.0.0.zip", "sha256": "x", "size_bytes": 1}}}',
  ];
  for (const text of bad) {
    writeFileSync(join(directory, 'orders/index.json'), text);
    const error = await errorOf(registry.find('orders', '1.0.0'));
    assert.equal(error.code, 'registry-malformed', text);
    assert.match(error.message, /orders\/index\.json/);
  }
});

test('refuses bytes that were changed or cut on disk', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  const module = packageOf('1.0.0');
  const { artifact } = await registry.publish(module, never);
  const zip = join(directory, 'orders/1.0.0/Orders-1.0.0.zip');
  const other = Buffer.from(module.zip);
  other[7] = (other[7] ?? 0) ^ 1;
  for (const bytes of [other, module.zip.subarray(1), Buffer.concat([module.zip, other]), '']) {
    writeFileSync(zip, bytes);
    const error = await errorOf(collect(registry.read(artifact, never)));
    assert.equal(error.code, 'artifact-mismatch');
    assert.match(error.message, new RegExp(`found .*, expected ${module.sha256}`));
    assert.match(error.message, /Orders-1\.0\.0\.zip/);
  }
});

test('reads nothing that is no file', async (t) => {
  const directory = temporaryDirectory(t, 'packages');
  const registry = open('directory', directory);
  const { artifact } = await registry.publish(packageOf('1.0.0'), never);
  for (const url of [
    artifact.url.replace(/Orders-.*/, 'pipe'),
    artifact.url.replace(/\/1\.0.*/, ''),
  ]) {
    const path = fileURLToPath(url);
    if (path.endsWith('pipe')) execFileSync('mkfifo', [path]);
    const error = await errorOf(collect(registry.read({ ...artifact, url }, never)));
    assert.equal(error.code, 'foreign-artifact');
  }
  const outside = { ...artifact, url: 'file:///etc/hostname' };
  assert.equal((await errorOf(collect(registry.read(outside, never)))).code, 'foreign-artifact');
});

test('web: an upload that is kept in another form is not published', async (t) => {
  const directory = temporaryDirectory(t, 'web');
  const proxy = await startFaultProxy(t, await serveWebdav(t, directory));
  proxy.fault = ({ method, path }) =>
    method === 'GET' &&
    path.endsWith('.zip') &&
    proxy.passed.some((each) => each.method === 'PUT' && each.path === path)
      ? { rewrite: (body) => Buffer.concat([body, Buffer.from('\n')]) }
      : undefined;
  const registry = open('http', proxy.url);
  const error = await errorOf(registry.publish(packageOf('1.0.0'), never));
  assert.equal(error.code, 'registry-failed');
  assert.match(error.message, /is not what was put there/);
  assert.deepEqual(await registry.versions('orders'), []);
});
