import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { planPins } from '../../src/git/pin-modules.ts';
import { readPlatform } from '../../src/git/platform-snapshot.ts';
import { workTree } from '../../src/git/tree-snapshot.ts';
import { writeZip } from '../../src/release/zip-writer.ts';
import { openRegistries } from '../../src/source/registry/open-registries.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { runCli } from '../support/cli.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { errorOf } from '../support/error-of.ts';
import { createPlatform, defaultModules } from '../support/platform.ts';

function packaged(alias: string, version: string) {
  const content = Buffer.from(JSON.stringify({ name: alias, alias, version }));
  const zip = writeZip([{ path: 'module.json', executable: false, content }]);
  const sha256 = `sha256:${createHash('sha256').update(zip).digest('hex')}`;
  return { alias, name: alias, version, zip, sha256, manifest: '{}' };
}

test('what a real registry has is listed with who runs it, and takes no module its directory', {
  skip: dockerRegistryMissing() ?? false,
}, async (t) => {
  const url = `${await startDockerRegistry(t)}/vendor`;
  const text = (more = '') => `registries:\n  - {kind: oci, url: '${url}'}\n${more}`;
  const taken = { directory: 'Payments', alias: 'checkout', version: '1.0.0' };
  const platform = createPlatform(t, { modules: [...defaultModules, taken] });
  platform.commit('Name the registry', { 'manifests/ringlock.yaml': text() });
  const repository = await findRepository(platform.path);
  const snapshot = await readPlatform(repository, await workTree(repository));
  const [registry] = openRegistries(snapshot.settings, {});
  for (const [alias, version] of [
    ['orders', '1.0.0'],
    ['orders', '0.9.0'],
    ['payments', '1.0.0'],
    ['billing', '1.0.0'],
    ['con', '1.0.0'],
  ] as const) {
    await registry?.publish(packaged(alias, version), new AbortController().signal);
  }
  const plan = (module: string, version: string, force = false) =>
    planPins(repository, snapshot, {
      ...{ command: 'install', ring: 'stable', module, version, force },
      ...{ reason: '', now: new Date(), openPackages },
    });
  const error = await errorOf(plan('payments', '1.0.0'));
  assert.equal(error.code, 'directory-taken');
  assert.match(error.message, /payments in the OCI registry .* directory payments, .* checkout's/);
  // Nor the directory that another stands in, nor a name that no pod would install.
  const lock = platform.read('manifests/edge.lock.json');
  Object.assign(snapshot, {
    lockTexts: new Map(snapshot.lockTexts).set(
      'edge',
      lock.replace('"MobileApp"', '"Billing/App"'),
    ),
  });
  assert.match((await errorOf(plan('billing', '1.0.0'))).message, /which is mobile-app's/);
  assert.equal((await errorOf(plan('con', '1.0.0'))).code, 'invalid-module-directory');
  // One that is away is named, and keeps nothing of the other back.
  const away = `  - {kind: oci, url: 'http://127.0.0.1:9/x'}\n`;
  platform.write({ 'manifests/ringlock.yaml': text(away) });
  const listed = await runCli(platform.path, ['list', '--remote', '--json']);
  assert.equal(listed.code, 3, listed.stderr);
  assert.match(listed.stderr, /127\.0\.0\.1:9\/x was not asked: /);
  const { versions, unanswered } = JSON.parse(listed.stdout);
  assert.equal(unanswered.length, 1);
  const all = ['stable', 'edge', 'canary'].sort();
  const display = registry?.display;
  assert.deepEqual(
    versions.filter(({ alias }: { alias: string }) => alias === 'orders'),
    [
      { alias: 'orders', version: '1.0.0', git: true, registries: [display], rings: all },
      { alias: 'orders', version: '0.9.0', git: false, registries: [display], rings: [] },
    ],
  );
  // The same version again: nothing, or with --force the entry as its bytes give it.
  const file = 'manifests/stable.lock.json';
  const right = platform.read(file);
  platform.write({ [file]: right.replace(/"file_count": \d+/, '"file_count": 99') });
  const edited = await readPlatform(repository, await workTree(repository));
  Object.assign(snapshot, { lockTexts: edited.lockTexts });
  const alias = Object.keys(JSON.parse(right).modules)[0] ?? '';
  assert.deepEqual((await plan(alias, '1.0.0')).changes, []);
  assert.equal((await plan(alias, '1.0.0', true)).files.get(file), right);
});
