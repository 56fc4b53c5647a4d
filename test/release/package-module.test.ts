import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { packageModule } from '../../src/release/package-module.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import {
  cloneOf,
  createPlatform,
  modulesAt,
  type Platform,
  writeLocks,
} from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function make(platform: { readonly path: string }, wanted: string) {
  return packageModule(await findRepository(platform.path), wanted);
}

function lockedCommit(platform: Platform, message: string): string {
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  return platform.commit(message);
}

test('writes a zip, a checksum that sha256sum takes, and a manifest of every file', async (t) => {
  const platform = createPlatform(t);
  platform.write({ 'modules/Orders/bin/run.sh': '#!/bin/sh\necho hello\n' });
  platform.setVersion('Orders', '1.0.1');
  const commit = lockedCommit(platform, 'Add a script');
  const { code, stdout, stderr } = await runCli(platform.path, [
    ...['package', 'orders', '--out', 'build/orders', '--json'],
  ]);
  assert.equal(code, 0, stderr);
  const out = join(platform.path, 'build/orders');
  execFileSync('sha256sum', ['-c', '--strict', 'Orders-1.0.1.zip.sha256'], { cwd: out });
  const zip = readFileSync(join(out, 'Orders-1.0.1.zip'));
  const manifest = JSON.parse(readFileSync(join(out, 'MANIFEST.json'), 'utf8'));
  const [orders] = modulesAt(platform, commit).filter(({ alias }) => alias === 'orders');
  assert.equal(manifest.sha256, orders?.sha256);
  assert.equal(manifest.commit, commit);
  assert.equal(manifest.tree, platform.git('rev-parse', `${commit}:modules/Orders`));
  assert.equal(manifest.platform, '^2.0.0');
  assert.deepEqual(manifest.dependencies, { products: '^1.0.0' });
  assert.deepEqual(
    manifest.files.map(({ path, mode }: { path: string; mode: string }) => [path, mode]),
    [
      ['CHANGELOG.md', '0644'],
      ['bin/run.sh', '0755'],
      ['module.json', '0644'],
      ['src/index.mjs', '0644'],
    ],
  );
  assert.equal(manifest.archive.size_bytes, zip.length);
  const answer = JSON.parse(stdout);
  assert.equal(answer.sha256, orders?.sha256);
  assert.equal(answer.artifact.sha256, `sha256:${createHash('sha256').update(zip).digest('hex')}`);
  const extracted = temporaryDirectory(t, 'unzip');
  if (spawnSync('unzip', ['-v']).status === 0) {
    execFileSync('unzip', ['-q', join(out, 'Orders-1.0.1.zip'), '-d', extracted]);
    const sums = manifest.files.map(
      ({ path, sha256 }: { path: string; sha256: string }) => `${sha256}  ${path}\n`,
    );
    execFileSync('sha256sum', ['-c', '--strict', '-'], { cwd: extracted, input: sums.join('') });
    assert.equal(statSync(join(extracted, 'bin/run.sh')).mode & 0o111, 0o111);
    assert.equal(existsSync(join(extracted, 'tests')), false);
  } else t.diagnostic('unzip is not here: what it makes of the package is not looked at');
});

test('makes the same bytes in another clone, time zone, locale, umask and work tree', async (t) => {
  const platform = createPlatform(t);
  platform.write({ 'modules/Orders/src/large.txt': 'line of text\n'.repeat(20_000) });
  platform.setVersion('Orders', '1.0.1');
  lockedCommit(platform, 'Add text');
  const clone = cloneOf(t, platform.path);
  clone.write({ 'modules/Orders/src/index.mjs': 'edited, not committed\n' });
  clone.git('config', 'core.autocrlf', 'true');
  await runCli(platform.path, ['package', 'orders']);
  const script = `umask 077 && exec "${process.execPath}" "$0" package orders --out out`;
  execFileSync('sh', ['-c', script, join(import.meta.dirname, '../../dist/cli.js')], {
    cwd: clone.path,
    env: { ...process.env, TZ: 'Pacific/Auckland', LC_ALL: 'C', HOME: '/nonexistent' },
  });
  for (const name of ['Orders-1.0.1.zip', 'Orders-1.0.1.zip.sha256', 'MANIFEST.json']) {
    const here = readFileSync(join(platform.path, name));
    assert.ok(here.equals(readFileSync(join(clone.path, 'out', name))), `${name} differs`);
  }
});

test('keeps the bytes of an archive from one ringlock to the next', async (t) => {
  const platform = createPlatform(t);
  const lines = Array.from({ length: 5_000 }, (_, n) => `${(n * 7919) % 1013} of ${n % 37}\n`);
  const text = lines.join('');
  platform.write({ 'modules/Orders/src/text.txt': text });
  platform.setVersion('Orders', '1.0.1');
  platform.commit('Add text');
  const { sha256 } = await make(platform, 'orders');
  // Published digests are pinned in locks: whoever changes this changes every package.
  assert.equal(sha256, 'sha256:3f81cebe2bdcdc7756795db9fa575e4f6c56c9cffcd1aba4c2949907fd5f9acd');
});

test('packages the released bytes of an earlier version, wherever modules/ is now', async (t) => {
  const platform = createPlatform(t);
  const first = await make(platform, 'orders@1.0.0');
  platform.change('Orders');
  platform.setVersion('Orders', '1.0.1');
  lockedCommit(platform, 'Release 1.0.1');
  platform.git('mv', 'modules/Orders', 'modules/Purchases');
  platform.setVersion('Purchases', '1.1.0');
  lockedCommit(platform, 'Rename');
  const again = await make(platform, 'orders@1.0.0');
  assert.equal(again.sha256, first.sha256);
  assert.equal(again.manifest, first.manifest);
  assert.equal(again.name, 'Orders');
  assert.equal((await make(platform, 'orders@1.0.1')).name, 'Orders');
  assert.equal((await make(platform, 'orders')).name, 'Purchases');
});

test('packages a hotfix that only a maintenance branch has, and the same once it is tagged and pinned', async (t) => {
  const platform = createPlatform(t);
  platform.setVersion('Orders', '1.6.0');
  lockedCommit(platform, 'Go on');
  platform.git('checkout', '-q', '-b', 'orders-1.0', 'HEAD~1');
  platform.change('Orders', 'hotfix');
  platform.setVersion('Orders', '1.0.1');
  const hotfix = platform.commit('Mend 1.0');
  const tree = platform.git('rev-parse', 'HEAD:modules/Orders');
  platform.git('checkout', '-q', 'main');
  const branch = await make(platform, 'orders@1.0.1');
  assert.deepEqual([branch.commit, branch.tree], [hotfix, tree]);
  platform.git('tag', 'orders@1.0.1', 'orders-1.0');
  platform.git('branch', '-q', '-D', 'orders-1.0');
  const tagged = await make(platform, 'orders@1.0.1');
  assert.deepEqual([tagged.commit, tagged.sha256], [hotfix, branch.sha256]);
  const lock = JSON.parse(platform.read('manifests/stable.lock.json'));
  const entry = { ...lock.modules.orders, version: '1.0.1', tree, sha256: tagged.contentDigest };
  lock.modules.orders = entry;
  platform.commit('Pin the hotfix', { 'manifests/stable.lock.json': JSON.stringify(lock) });
  const pinned = await make(platform, 'orders@1.0.1');
  assert.deepEqual([pinned.commit, pinned.manifest], [hotfix, tagged.manifest]);
});

test('refuses other bytes under a released version, and says what to do', async (t) => {
  const platform = createPlatform(t);
  const { sha256 } = await make(platform, 'orders');
  platform.change('Orders');
  platform.commit('Change without a bump');
  const error = await errorOf(make(platform, 'orders'));
  assert.equal(error.code, 'released-bytes-differ');
  assert.equal(error.exitCode, 1);
  assert.match(error.hint ?? '', /ringlock bump orders/);
  assert.equal((await make(platform, 'orders@1.0.0')).sha256, sha256);
});

test('names the versions there are, revisions that are not, and branches that disagree', async (t) => {
  const platform = createPlatform(t);
  const missing = await errorOf(make(platform, 'orders@9.9.9'));
  assert.equal(missing.code, 'version-not-found');
  assert.match(missing.hint ?? '', /Versions here: 1\.0\.0/);
  assert.equal((await errorOf(make(platform, 'orders@nowhere'))).code, 'unknown-revision');
  assert.equal((await errorOf(make(platform, 'No Such'))).code, 'unknown-module');
  for (const branch of ['one', 'two']) {
    platform.git('checkout', '-q', '-b', branch, 'main');
    platform.change('Orders', branch);
    platform.setVersion('Orders', '1.0.5');
    platform.commit(branch);
  }
  const ambiguous = await errorOf(make(platform, 'orders@1.0.5'));
  assert.equal(ambiguous.code, 'version-ambiguous');
  assert.equal((await make(platform, 'orders@one')).version, '1.0.5');
  platform.git('tag', 'orders@2.0.0', 'main');
  assert.equal((await errorOf(make(platform, 'orders@2.0.0'))).code, 'tag-mismatch');
});

test('refuses a symlink in a module and a lock that names the tree of another module', async (t) => {
  const platform = createPlatform(t);
  const lock = JSON.parse(platform.read('manifests/stable.lock.json'));
  lock.modules.orders.version = '3.0.0';
  lock.modules.orders.tree = lock.modules.products.tree;
  platform.commit('Lie', { 'manifests/stable.lock.json': JSON.stringify(lock) });
  assert.equal((await errorOf(make(platform, 'orders@3.0.0'))).code, 'manifest-mismatch');
  execFileSync('ln', ['-s', '/etc/passwd', join(platform.path, 'modules/Products/link')]);
  platform.setVersion('Products', '1.0.1');
  platform.commit('Link');
  assert.equal((await errorOf(make(platform, 'products'))).code, 'refused-path');
});
