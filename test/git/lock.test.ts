import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { createPlatform, modulesAt, type Platform } from '../support/platform.ts';

const lockOf = (platform: Platform, ring: string) =>
  JSON.parse(platform.read(`manifests/${ring}.lock.json`));

async function run(platform: Platform, ...args: string[]) {
  const result = await runCli(platform.path, args);
  return { ...result, text: result.stdout + result.stderr };
}

function bumped(platform: Platform, directory: string, version: string): void {
  platform.setVersion(directory, version);
  platform.change(directory, version);
}

test('locks the tracking ring from modules/ and leaves the pinned rings alone', async (t) => {
  const platform = createPlatform(t);
  const stable = platform.read('manifests/stable.lock.json');
  bumped(platform, 'Orders', '1.0.1');
  const { code, stdout } = await run(platform, 'lock');
  assert.equal(code, 0);
  assert.match(stdout, /canary\.lock\.json written, 4 modules\n {2}orders 1\.0\.0 → 1\.0\.1/);
  assert.equal(platform.read('manifests/stable.lock.json'), stable);
  platform.git('add', '-A');
  const orders = modulesAt(platform).find(({ alias }) => alias === 'orders');
  const locked = lockOf(platform, 'canary').modules.orders;
  assert.equal(locked.version, '1.0.1');
  assert.equal(locked.sha256, orders?.sha256);
  assert.equal(
    locked.tree,
    platform.git('rev-parse', `${platform.git('write-tree')}:modules/Orders`),
  );
});

test('writes the same bytes again, and does not touch a file that is right', async (t) => {
  const platform = createPlatform(t);
  const file = join(platform.path, 'manifests/canary.lock.json');
  const before = statSync(file, { bigint: true });
  const { stdout } = await run(platform, 'lock');
  assert.match(stdout, /unchanged/);
  assert.deepEqual(statSync(file, { bigint: true }), before);
  assert.equal(platform.git('status', '--short'), '');
});

test('--check names what differs, writes nothing, and exits 1', async (t) => {
  const platform = createPlatform(t);
  bumped(platform, 'Orders', '1.0.1');
  platform.change('Products');
  platform.write({
    'modules/MobileApp': null,
    'modules/New/module.json': '{"name":"New","alias":"new","version":"0.1.0"}',
  });
  const { code, stdout } = await run(platform, 'lock', '--check', '--json');
  assert.equal(code, 1);
  const [{ differences }] = JSON.parse(stdout).rings;
  assert.deepEqual(
    differences.map((each: { alias: string; kind: string }) => [each.alias, each.kind]),
    [
      ['mobile-app', 'extra'],
      ['new', 'missing'],
      ['orders', 'version'],
      ['products', 'digest'],
    ],
  );
  assert.match((await run(platform, 'lock', '--check')).stdout, /→ ringlock lock\n/);
  assert.equal(platform.git('status', '--short', 'manifests'), '');
  await run(platform, 'lock');
  assert.equal((await run(platform, 'lock', '--check')).code, 0);
});

test('--check ignores artifact and released_at; lock keeps them while version and digest stay', async (t) => {
  const platform = createPlatform(t);
  const lock = lockOf(platform, 'canary');
  const artifact = {
    url: 'https://registry.example.com/o.zip',
    sha256: `sha256:${'1'.repeat(64)}`,
    size_bytes: 3,
  };
  for (const alias of ['orders', 'products']) {
    Object.assign(lock.modules[alias], { artifact, released_at: '2026-01-01T00:00:00Z' });
  }
  platform.write({ 'manifests/canary.lock.json': `${JSON.stringify(lock, null, 2)}\n` });
  assert.equal((await run(platform, 'lock', '--check')).code, 0);
  bumped(platform, 'Orders', '1.0.1');
  await run(platform, 'lock');
  const after = lockOf(platform, 'canary').modules;
  assert.deepEqual(after.products.artifact, artifact);
  assert.equal(after.products.released_at, '2026-01-01T00:00:00Z');
  assert.equal(after.orders.artifact, null);
  assert.equal(after.orders.released_at, null);
});

test('--module brings one entry up to date, by alias or directory', async (t) => {
  const platform = createPlatform(t);
  bumped(platform, 'Orders', '1.0.1');
  bumped(platform, 'MobileApp', '0.4.0');
  assert.equal((await run(platform, 'lock', '--module', 'MobileApp')).code, 0);
  assert.equal(lockOf(platform, 'canary').modules['mobile-app'].version, '0.4.0');
  assert.equal(lockOf(platform, 'canary').modules.orders.version, '1.0.0');
  await run(platform, 'lock', '--module', 'orders');
  assert.equal(lockOf(platform, 'canary').modules.orders.version, '1.0.1');
  const unknown = await run(platform, 'lock', '--module', 'nothing');
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /no module "nothing"\n.*communications, mobile-app/);
});

test('refuses a pinned ring without --force', async (t) => {
  const platform = createPlatform(t);
  bumped(platform, 'Orders', '1.0.1');
  const refused = await run(platform, 'lock', '--ring', 'edge');
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /edge is a pinned ring[\s\S]*ring promote <alias> --from canary --to edge/,
  );
  assert.equal((await run(platform, 'lock', '--ring', 'edge', '--force')).code, 0);
  assert.equal(lockOf(platform, 'edge').modules.orders.version, '1.0.1');
  const unknown = await run(platform, 'lock', '--ring', 'nowhere');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /canary, edge, stable/);
});

test('--staged locks what is staged and stages the lock, further edits aside', async (t) => {
  const platform = createPlatform(t);
  bumped(platform, 'Orders', '1.0.1');
  platform.git('add', 'modules/Orders');
  platform.change('Orders', 'not staged');
  assert.equal((await run(platform, 'lock', '--staged')).code, 0);
  const [orders] = modulesAt(platform).filter(({ alias }) => alias === 'orders');
  assert.equal(lockOf(platform, 'canary').modules.orders.sha256, orders?.sha256);
  assert.match(platform.git('status', '--short'), /^M {2}manifests\/canary\.lock\.json$/m);
  assert.equal((await run(platform, 'lock', '--check', '--staged')).code, 0);
  assert.equal((await run(platform, 'lock', '--check')).code, 1);
});

test('obeys a committed hold, and says when it cannot', async (t) => {
  const platform = createPlatform(t);
  assert.equal(
    (await run(platform, 'hold', 'Orders', '--ring', 'canary', '--reason', 'billing')).code,
    0,
  );
  bumped(platform, 'Orders', '1.0.1');
  bumped(platform, 'Products', '1.0.1');
  assert.equal((await run(platform, 'lock')).code, 0);
  assert.equal(lockOf(platform, 'canary').modules.orders.version, '1.0.0');
  assert.equal(lockOf(platform, 'canary').modules.products.version, '1.0.1');
  assert.equal((await run(platform, 'lock', '--check')).code, 0);
  platform.write({
    'manifests/canary.ring.yaml':
      'tracks: modules\nholds:\n  orders: {version: 0.9.0, reason: x}\n',
  });
  const mismatch = await run(platform, 'lock');
  assert.equal(mismatch.code, 1);
  assert.match(
    mismatch.stderr,
    /holds orders at 0\.9\.0, manifests\/canary\.lock\.json has 1\.0\.0/,
  );
});

test('says that an alias changed directory', async (t) => {
  const platform = createPlatform(t);
  platform.git('mv', 'modules/Orders', 'modules/Ordering');
  assert.match((await run(platform, 'lock')).stdout, /orders moved from Orders to Ordering/);
});

test('reads a lock of the reference system and writes its own format', async (t) => {
  const platform = createPlatform(t);
  const { modules } = lockOf(platform, 'canary');
  for (const entry of Object.values<Record<string, unknown>>(modules)) {
    delete entry['tree'];
    delete entry['directory'];
  }
  const reference = {
    $schema: './manifest.lock.schema.json',
    platform: '2.0.0',
    generated_at: '2026-04-12T19:54:19+00:00',
    modules,
  };
  platform.write({ 'manifests/canary.lock.json': JSON.stringify(reference, null, 4) });
  assert.equal((await run(platform, 'lock', '--check')).code, 1);
  assert.equal((await run(platform, 'lock')).code, 0);
  assert.equal(platform.git('status', '--short'), '');
});

test('works from a folder of a module, and in a repository without commits', async (t) => {
  const platform = createPlatform(t, { commit: false });
  const result = await runCli(join(platform.path, 'modules/Orders'), ['lock']);
  assert.equal(result.code, 0);
  assert.equal(Object.keys(lockOf(platform, 'canary').modules).length, 4);
});

/** Two branches that both move a ring's lock, merged with a conflict. */
function conflicted(t: TestContext, ring: string, prepare: (platform: Platform) => void): Platform {
  const platform = createPlatform(t);
  prepare(platform);
  const { status, stdout } = platform.tryGit('merge', 'theirs');
  assert.equal(status, 1, stdout);
  assert.match(platform.read(`manifests/${ring}.lock.json`), /<<<<<<< /);
  return platform;
}

/** Commits a version of Orders, and locks canary and edge with it. */
function release(platform: Platform, version: string, ...rings: string[]): void {
  bumped(platform, 'Orders', version);
  platform.git('add', '-A');
  platform.git('commit', '-qm', `Orders ${version}`);
  for (const ring of rings) {
    execFileSync(
      process.execPath,
      [join(import.meta.dirname, '../../dist/cli.js'), 'lock', '--ring', ring, '--force'],
      { cwd: platform.path },
    );
  }
  platform.commit(`Lock ${version}`);
}

test("resolves a tracking ring's conflicted lock from modules/", async (t) => {
  const platform = conflicted(t, 'canary', (each) => {
    each.git('checkout', '-qb', 'theirs');
    bumped(each, 'Products', '1.0.1');
    release(each, '1.1.0', 'canary');
    each.git('checkout', '-q', 'main');
    release(each, '1.0.1', 'canary');
  });
  platform.git('checkout', '--theirs', 'modules/Orders');
  platform.git('add', 'modules/Orders');
  const check = await run(platform, 'lock', '--check');
  assert.equal(check.code, 1);
  assert.match(check.stdout, /has conflict markers/);
  assert.equal((await run(platform, 'lock')).code, 0);
  assert.equal(lockOf(platform, 'canary').modules.orders.version, '1.1.0');
  assert.equal((await run(platform, 'lock', '--check')).code, 0);
});

test("takes a pinned ring's greater version where it descends from the lesser", async (t) => {
  const platform = conflicted(t, 'edge', (each) => {
    release(each, '1.0.1');
    release(each, '1.0.2');
    each.git('checkout', '-qb', 'theirs');
    pinEdge(each, 'HEAD~2');
    each.git('checkout', '-q', 'main');
    pinEdge(each, 'HEAD');
  });
  const { code, text } = await run(platform, 'lock', '--ring', 'edge');
  assert.equal(code, 0, text);
  assert.equal(lockOf(platform, 'edge').modules.orders.version, '1.0.2');
  assert.equal(lockOf(platform, 'edge').modules.products.version, '1.0.0');
});

test('names a pinned module where neither version descends from the other', async (t) => {
  const platform = conflicted(t, 'edge', (each) => {
    each.git('checkout', '-qb', 'theirs');
    release(each, '1.4.1', 'edge');
    each.git('checkout', '-q', 'main');
    release(each, '1.6.0', 'edge');
  });
  platform.git('checkout', '--theirs', 'modules/Orders');
  platform.git('add', 'modules/Orders');
  const { code, stderr } = await run(platform, 'lock', '--ring', 'edge');
  assert.equal(code, 1);
  assert.match(stderr, /orders: 1\.6\.0 on our side, 1\.4\.1 on theirs/);
  assert.match(platform.read('manifests/edge.lock.json'), /<<<<<<< /);
});

/** Commits edge's lock with Orders as a revision has it. */
function pinEdge(platform: Platform, revision: string): void {
  platform.git('checkout', '-q', revision, '--', 'modules');
  execFileSync(
    process.execPath,
    [join(import.meta.dirname, '../../dist/cli.js'), 'lock', '--ring', 'edge', '--force'],
    { cwd: platform.path },
  );
  platform.git('checkout', '-q', 'HEAD', '--', 'modules');
  platform.commit(`Pin ${revision}`);
}
