import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addRing, type RingRequest } from '../../src/git/add-ring.ts';
import { findRepository } from '../../src/git/git-command.ts';
import { removeRing } from '../../src/git/remove-ring.ts';
import { newOverlayFiles } from '../../src/repo/overlay-template.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { runCli } from '../support/cli.ts';
import { createHookedPlatform } from '../support/hooked-platform.ts';
import { passInProcess } from '../support/in-process.ts';
import { buildOverlay, cannotBuild, nameOf } from '../support/kubernetes/objects.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const top = join(import.meta.dirname, '../..');

function withOverlays(platform: Platform): Platform {
  cpSync(join(top, 'overlays'), join(platform.path, 'overlays'), { recursive: true });
  platform.commit('Overlays');
  return platform;
}

const beta: RingRequest = {
  ...{ name: 'beta', promotesFrom: 'edge', tracksModules: false, namespace: undefined },
  ...{ hostnames: ['beta.example.com'], branch: undefined, overlay: true },
};

test('the overlay of a new ring is that of edge, with its own names', () => {
  const made = newOverlayFiles('edge', 'autocom-edge', 'main');
  for (const [path, text] of Object.entries(made)) {
    assert.equal(readFileSync(join(top, path), 'utf8'), text, path);
  }
});

test('a ring that is added serves at once, and goes again without a trace', async (t) => {
  const platform = withOverlays(await createHookedPlatform(t));
  const before = platform.git('rev-parse', 'HEAD^{tree}');
  const args = ['ring', 'add', 'beta', '--promotes-from', 'edge', '--hostname', 'b.example.com'];
  const added = await runCli(platform.path, args);
  assert.equal(added.code, 0, added.stderr);
  assert.match(added.stdout, /^beta begins with 4 modules, from the lock of edge$/m);
  assert.match(
    added.stdout,
    /→ git add manifests\/beta\.ring\.yaml manifests\/beta\.lock\.json overlays\/rings\/beta && git commit -m "Add the ring beta"/,
  );
  const { ring } = parseRingFile(platform.read('manifests/beta.ring.yaml'), 'beta');
  assert.deepEqual(
    [ring.namespace, ring.hostnames, ring.branch, ring.promotesFrom],
    ['platform-beta', ['b.example.com'], 'main', 'edge'],
  );
  assert.equal(
    platform.read('manifests/beta.lock.json'),
    platform.read('manifests/edge.lock.json').replace('"edge"', '"beta"'),
  );
  if (cannotBuild === false) {
    const objects = buildOverlay('overlays/rings/beta', platform.path);
    assert.ok(objects.some((object) => nameOf(object) === 'Namespace platform-beta'));
    assert.ok(objects.some((object) => nameOf(object) === 'Deployment platform-beta/api'));
  }
  assert.match(
    added.stdout,
    /→ ringlock ring routes\n {2}→ add \.\.\/rings\/beta to overlays\/production/,
  );
  platform.commit('Add the ring beta');
  assert.equal((await runCli(platform.path, ['verify', '--ring', 'beta'])).code, 0);
  const root = temporaryDirectory(t, 'root');
  const { status } = await passInProcess({ repo: platform.path, root, ring: 'beta' });
  assert.equal(status.state, 'converged');

  const removed = await runCli(platform.path, ['ring', 'remove', 'beta', '--commit']);
  assert.equal(removed.code, 0, removed.stderr);
  assert.match(removed.stdout, /^ {2}→ kubectl delete namespace platform-beta$/m);
  assert.equal(platform.git('rev-parse', 'HEAD^{tree}'), before);
  assert.equal(platform.git('status', '--porcelain'), '');
  const gone = await passInProcess({ repo: platform.path, root, ring: 'beta' });
  assert.equal(gone.status.state, 'refused', 'a ring that is gone is never read as nothing');
  assert.ok(existsSync(join(root, 'current/Orders')));
});

test('a ring that tracks modules/ begins with what is there, packages included', async (t) => {
  const platform = createPlatform(t);
  const canary = JSON.parse(platform.read('manifests/canary.lock.json'));
  canary.modules.orders.artifact = {
    ...{ url: 'https://packages.example.com/o.zip', sha256: `sha256:${'a'.repeat(64)}` },
    size_bytes: 1,
  };
  platform.write({ 'manifests/canary.lock.json': JSON.stringify(canary) });
  const repository = await findRepository(platform.path);
  const tracking = { ...beta, name: 'nightly', promotesFrom: undefined, tracksModules: true };
  const added = await addRing(repository, tracking);
  assert.deepEqual(added.files, ['manifests/nightly.lock.json', 'manifests/nightly.ring.yaml']);
  assert.match(added.withoutOverlay ?? '', /there is no overlays\/base\/per-ring/);
  const lock = JSON.parse(platform.read('manifests/nightly.lock.json'));
  assert.deepEqual(lock.modules, canary.modules);
  const check = await runCli(platform.path, ['lock', '--check', '--ring', 'nightly']);
  assert.equal(check.code, 0, check.stdout);
});

test('everything that is in the way of a new ring is said at once, and nothing is written', async (t) => {
  const platform = withOverlays(createPlatform(t));
  platform.commit('Tenants', {
    'manifests/tenants.yaml':
      'tenants: { acme: { ring: stable, hostnames: [acme.example.com] } }\n',
    'overlays/rings/beta/kustomization.yaml': 'resources: []\n',
    'manifests/beta.lock.json': '{}\n',
  });
  const repository = await findRepository(platform.path);
  const add = (more: Partial<RingRequest>) => addRing(repository, { ...beta, ...more });
  await assert.rejects(
    add({ namespace: 'platform-edge', hostnames: ['acme.example.com'] }),
    ({ code, details }: { code: string; details: { problems: string[] } }) => {
      assert.equal(code, 'ring-not-added');
      assert.deepEqual(details.problems, [
        'manifests/beta.lock.json is there already',
        'overlays/rings/beta is there already',
        'the namespace platform-edge is that of edge (manifests/edge.ring.yaml)',
        'acme.example.com is a hostname of the tenant acme',
      ]);
      return true;
    },
  );
  await assert.rejects(add({ promotesFrom: undefined }), { code: 'ring-source-not-given' });
  await assert.rejects(add({ tracksModules: true }), { code: 'ring-source-not-given' });
  await assert.rejects(add({ promotesFrom: 'gamma' }), { code: 'unknown-ring' });
  await assert.rejects(add({ name: 'Beta/..' }), { code: 'invalid-ring-name' });
  await assert.rejects(add({ namespace: 'a: b' }), /namespace is "a: b", expected a Kubernetes/);
  await assert.rejects(add({ branch: '-x' }), { code: 'invalid-file' });
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('a disk that fails half-way leaves no half of a ring', async (t) => {
  const platform = withOverlays(createPlatform(t));
  platform.write({ 'overlays/rings': null });
  platform.commit('No folder where one is needed', { 'overlays/rings': 'a file\n' });
  await assert.rejects(addRing(await findRepository(platform.path), beta), { code: 'disk-failed' });
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('a ring that is needed is not removed, and everything that needs it is said at once', async (t) => {
  const platform = withOverlays(createPlatform(t, { rings: ['stable', 'edge', 'canary'] }));
  platform.commit('In use', {
    'manifests/tenants.yaml': 'tenants: { acme: { ring: edge }, foo: { ring: edge } }\n',
    'manifests/edge.ring.yaml': 'promotesFrom: canary\ndefault: true\n',
    'overlays/everything/kustomization.yaml': 'resources:\n  - ../rings/edge/\n  - ../shared\n',
  });
  platform.write({ 'overlays/rings/edge/mine.yaml': '# not committed\n' });
  const { code, stderr, stdout } = await runCli(platform.path, [
    'ring',
    'remove',
    'edge',
    '--json',
  ]);
  assert.equal(code, 1, stderr);
  const { error } = JSON.parse(stdout);
  assert.equal(error.code, 'ring-in-use');
  assert.deepEqual(error.details.problems, [
    '2 tenants sit on it in manifests/tenants.yaml: acme, foo',
    'it is the default ring, which tenants that nobody names are served from',
    'stable promotes from it',
    'overlays/everything/kustomization.yaml is built from overlays/rings/edge',
    'overlays/production/kustomization.yaml is built from overlays/rings/edge',
    'git does not have what is in overlays/rings/edge/mine.yaml',
  ]);
  assert.equal(platform.git('status', '--porcelain'), '?? overlays/rings/edge/mine.yaml');
});

test('a removal that was cut off is finished by the same command', async (t) => {
  const platform = withOverlays(createPlatform(t, { rings: ['edge', 'canary'] }));
  const repository = await findRepository(platform.path);
  platform.commit('Edge is part of nothing', { 'overlays/production': null });
  platform.write({ 'manifests/tenants.yaml': null, 'manifests/edge.ring.yaml': null });
  const done = await removeRing(repository, 'edge', { commit: true });
  assert.deepEqual(done.removed, ['manifests/edge.lock.json', 'overlays/rings/edge']);
  assert.equal(platform.git('status', '--porcelain'), ' D manifests/tenants.yaml');
  await assert.rejects(removeRing(repository, 'edge', { commit: true }), { code: 'unknown-ring' });
});
