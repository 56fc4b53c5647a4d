import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gitlabCase } from '../source/registry/kinds.ts';
import { runCli } from '../support/cli.ts';
import { createPlatform, type Platform, writeLocks } from '../support/platform.ts';
import { forgeToken, serveGitlabReleases } from '../support/release-forges.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A platform whose settings name a directory as its registry, and whatever `more` adds. */
function platformWith(t: TestContext, more = ''): { platform: Platform; directory: string } {
  const directory = join(temporaryDirectory(t, 'packages'), 'registry');
  const platform = createPlatform(t);
  platform.commit('Name the registry', {
    'manifests/ringlock.yaml': `registries:\n  - {kind: directory, url: ${directory}}\n${more}`,
    'modules/Orders/CHANGELOG.md': '# Changelog\n\n## 1.0.0\n\n- Round totals half up.\n',
  });
  platform.git('add', '-A');
  writeLocks(platform, platform.rings);
  platform.commit('Lock');
  return { platform, directory };
}

const lockOf = (platform: Platform, ring: string) =>
  JSON.parse(platform.read(`manifests/${ring}.lock.json`));

test('releases what HEAD has, and says the next git step', async (t) => {
  const forge = await serveGitlabReleases(t);
  const { platform, directory } = platformWith(
    t,
    `releases:\n  - {kind: gitlab, url: '${forge.url}', project: acme/platform}\n`,
  );
  const environment = { RINGLOCK_RELEASE_TOKEN: forgeToken };
  const dry = await runCli(platform.path, ['release', 'orders', '--dry-run'], environment);
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /to publish/);
  assert.equal(forge.received.length, 0);
  const { code, stdout, stderr } = await runCli(platform.path, ['release', 'orders'], environment);
  assert.equal(code, 0, stderr);
  const zip = join(directory, 'orders/1.0.0/Orders-1.0.0.zip');
  assert.ok(existsSync(zip));
  assert.ok(stdout.includes(`published     file://${zip}`), stdout);
  assert.match(stdout, /entry made/);
  assert.match(stdout, /→ git commit -m "Release orders 1\.0\.0" -- manifests\/canary\.lock\.json/);
  assert.match(forge.releases[0]?.notes ?? '', /Round totals half up/);
  for (const ring of platform.rings) {
    assert.equal(lockOf(platform, ring).modules.orders.artifact.url, `file://${zip}`);
  }
  const again = await runCli(platform.path, ['module:release', 'Orders', '--json'], environment);
  assert.equal(again.code, 0, again.stderr);
  const document = JSON.parse(again.stdout);
  assert.equal(document.registries[0].outcome, 'same');
  assert.equal(document.entries[0].outcome, 'same');
  assert.deepEqual(
    document.locks.map(({ outcome }: { outcome: string }) => outcome),
    [...['present', 'present', 'present']],
  );
  assert.equal(document.next, null);
  assert.equal((await runCli(platform.path, ['lock', '--check'])).code, 0);
  platform.commit('Release orders 1.0.0');
  assert.equal((await runCli(platform.path, ['verify'])).code, 0);
});

test('says 401 in words: the variable, the scope, and exit code 3', async (t) => {
  const { url } = await gitlabCase.start(t);
  const { platform } = platformWith(
    t,
    `  - {kind: gitlab, url: '${url}', project: acme/modules}\n`,
  );
  const wrong = 'glpat-expired-0123456789';
  const environment = { MODULE_REGISTRY_TOKEN: wrong };
  const { code, stdout, stderr } = await runCli(platform.path, ['release', 'orders'], environment);
  assert.equal(code, 3);
  assert.match(stderr, /refuses MODULE_REGISTRY_TOKEN \(401\)/);
  assert.match(stderr, /read_package_registry/);
  assert.ok(!`${stdout}${stderr}`.includes(wrong));
});

test('refuses another package under a version that is published, with exit code 1', async (t) => {
  const { platform, directory } = platformWith(t);
  assert.equal((await runCli(platform.path, ['release', 'orders'])).code, 0);
  const zip = join(directory, 'orders/1.0.0/Orders-1.0.0.zip');
  writeFileSync(zip, 'other bytes');
  rmSync(`${zip}.sha256`);
  platform.git('checkout', '-q', '--', 'manifests');
  const { code, stderr } = await runCli(platform.path, ['release', 'orders']);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /has other bytes under orders 1\.0\.0: found sha256:[0-9a-f]{64}, expected/);
  assert.equal(readFileSync(zip, 'utf8'), 'other bytes');
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('lock --artifacts writes what CI released, the same as release itself', async (t) => {
  const { platform } = platformWith(t);
  assert.equal((await runCli(platform.path, ['release', 'orders'])).code, 0);
  const released = platform.rings.map((ring) => platform.read(`manifests/${ring}.lock.json`));
  platform.git('checkout', '-q', '--', 'manifests');
  const { code, stdout, stderr } = await runCli(platform.path, ['lock', '--artifacts']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /orders 1\.0\.0 {2}file:.*\(canary, edge, stable\)/);
  assert.match(stdout, /products 1\.0\.0 is at no registry/);
  assert.deepEqual(
    platform.rings.map((ring) => platform.read(`manifests/${ring}.lock.json`)),
    released,
  );
  const usage = await runCli(platform.path, ['lock', '--artifacts', '--check']);
  assert.equal(usage.code, 2);
});

test('lock --artifacts tells of every pin that it cannot complete, and completes the others', async (t) => {
  const { platform, directory } = platformWith(t);
  for (const alias of ['orders', 'products']) {
    assert.equal((await runCli(platform.path, ['release', alias])).code, 0);
  }
  const right = lockOf(platform, 'edge').modules.products;
  platform.git('checkout', '-q', '--', 'manifests');
  const before = lockOf(platform, 'edge').modules;
  // One is another package, of one the directory is damaged, and one was never released.
  writeFileSync(join(directory, 'orders/1.0.0/Orders-1.0.0.zip'), 'other bytes');
  rmSync(join(directory, 'orders/1.0.0/Orders-1.0.0.zip.sha256'));
  symlinkSync('communications', join(directory, 'communications'));
  const { code, stdout } = await runCli(platform.path, ['lock', '--artifacts']);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /orders 1\.0\.0 {2}not written: the package of .* is another/);
  assert.match(stdout, /communications 1\.0\.0 {2}not written: /);
  assert.match(stdout, /mobile-app 0\.3\.0 is at no registry/);
  assert.deepEqual(lockOf(platform, 'edge').modules, { ...before, products: right });
  rmSync(join(directory, 'orders'), { recursive: true });
  const away = await runCli(platform.path, ['lock', '--artifacts', '--json']);
  assert.equal(away.code, 3, away.stdout);
  const { modules } = JSON.parse(away.stdout);
  const failed = modules.find(({ alias }: { alias: string }) => alias === 'communications');
  assert.equal(failed.error.code, 'registries-away');
});

test('a merge of locks keeps the artifact that one side has', async (t) => {
  const { platform } = platformWith(t);
  platform.git('checkout', '-q', '-b', 'side');
  platform.setVersion('Products', '1.1.0');
  platform.git('add', '-A');
  assert.equal((await runCli(platform.path, ['lock'])).code, 0);
  platform.commit('Bump products');
  platform.git('checkout', '-q', 'main');
  assert.equal((await runCli(platform.path, ['release', 'orders'])).code, 0);
  platform.commit('Release orders 1.0.0');
  platform.git('merge', '-q', '--no-edit', 'side');
  const { modules } = lockOf(platform, 'canary');
  assert.equal(modules.products.version, '1.1.0');
  assert.match(modules.orders.artifact.url, /^file:/);
  assert.equal((await runCli(platform.path, ['lock', '--check'])).code, 0);
});

test('where two sides conflict, the entry that says where its package is wins', async (t) => {
  const { platform } = platformWith(t);
  const file = 'manifests/edge.lock.json';
  const ours = platform.read(file);
  assert.equal((await runCli(platform.path, ['release', 'orders'])).code, 0);
  const theirs = platform.read(file);
  platform.git('checkout', '-q', '--', 'manifests');
  platform.write({ [file]: `<<<<<<< HEAD\n${ours}=======\n${theirs}>>>>>>> theirs\n` });
  const { code, stderr } = await runCli(platform.path, ['lock']);
  assert.equal(code, 0, stderr);
  assert.match(lockOf(platform, 'edge').modules.orders.artifact?.url ?? '', /^file:/);
});

test('releases a hotfix from its tag while main is further, into the locks that pin it', async (t) => {
  const { platform, directory } = platformWith(t);
  platform.git('checkout', '-q', '-b', 'orders-1.0');
  platform.change('Orders', 'a hotfix');
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  writeLocks(platform, ['stable']);
  platform.commit('Fix orders 1.0');
  platform.git('tag', 'orders@1.0.1');
  const pinned = platform.read('manifests/stable.lock.json');
  platform.git('checkout', '-q', 'main');
  platform.change('Orders', 'a feature');
  platform.setVersion('Orders', '1.6.0');
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit('Go on', { 'manifests/stable.lock.json': pinned });
  const { code, stdout, stderr } = await runCli(platform.path, ['release', 'orders@1.0.1']);
  assert.equal(code, 0, stderr);
  assert.ok(existsSync(join(directory, 'orders/1.0.1/Orders-1.0.1.zip')));
  assert.match(stdout, /written {7}manifests\/stable\.lock\.json/);
  assert.equal(platform.git('status', '--porcelain').trim(), 'M manifests/stable.lock.json');
  assert.equal((await runCli(platform.path, ['release', 'orders'])).code, 0);
  assert.match(lockOf(platform, 'canary').modules.orders.artifact.url, /1\.6\.0/);
  assert.match(lockOf(platform, 'stable').modules.orders.artifact.url, /1\.0\.1/);
});
