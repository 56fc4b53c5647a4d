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
import { passInProcess } from '../support/in-process.ts';
import { buildOverlay, cannotBuild, nameOf } from '../support/kubernetes/objects.ts';
import { createPlatform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const top = join(import.meta.dirname, '../..');

const beta: RingRequest = {
  ...{ name: 'beta', promotesFrom: 'edge', tracksModules: false, namespace: undefined },
  ...{ hostnames: ['beta.example.com'], branch: undefined, overlay: true },
};

test('the overlay of a new ring is that of edge, with its own names', () => {
  const made = newOverlayFiles('edge', 'autocom-edge', 'main');
  for (const [path, text] of Object.entries(made)) {
    assert.equal(readFileSync(join(top, path), 'utf8'), text, path);
  }
  const [other = ''] = Object.values(newOverlayFiles('edge', 'autocom-edge', 'staging'));
  const [bare = ''] = Object.values(newOverlayFiles('on', 'no', 'main'));
  assert.match(bare, /^namespace: "no"$/m);
  assert.match(bare, /^ {6}ringlock\.dev\/ring: "on"$/m);
  assert.match(other, /^ {6}- RING_NAME=edge\n {6}- RING_BRANCH=staging\nreplicas:$/m);
});

test('rings come and go', async (t) => {
  const modules = [{ directory: 'Orders', alias: 'orders', version: '1.0.0' }];
  const platform = createPlatform(t, { modules });
  cpSync(join(top, 'overlays'), join(platform.path, 'overlays'), { recursive: true });
  platform.commit('Overlays');
  const repository = await findRepository(platform.path);
  const start = platform.git('rev-parse', 'HEAD');
  const startAgain = () => platform.git('reset', '-q', '--hard', start);

  await t.test('a ring that is added serves at once, and goes without a trace', async (s) => {
    const args = ['ring', 'add', 'beta', '--promotes-from', 'edge', '--hostname', 'b.example.com'];
    const added = await runCli(platform.path, args);
    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stdout, /^beta begins with 1 module, from the lock of edge$/m);
    assert.match(
      added.stdout,
      /→ git add manifests\/beta\.ring\.yaml manifests\/beta\.lock\.json overlays\/rings\/beta && git commit -m "Add the ring beta"\n {2}→ ringlock ring routes\n {2}→ add \.\.\/rings\/beta to overlays\/production/,
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
    platform.commit('Add the ring beta');
    const root = temporaryDirectory(s, 'root');
    const pass = () => passInProcess({ repo: platform.path, root, ring: 'beta' });
    assert.equal((await pass()).status.state, 'converged');

    const removed = await runCli(platform.path, ['ring', 'remove', 'beta', '--commit']);
    assert.equal(removed.code, 0, removed.stderr);
    assert.match(removed.stdout, /^ {2}→ kubectl delete namespace platform-beta$/m);
    assert.equal(platform.git('diff', '--stat', start), '');
    assert.equal(platform.git('status', '--porcelain'), '');
    const { status } = await pass();
    assert.equal(status.state, 'refused', 'a ring that is gone is never read as nothing');
    assert.ok(existsSync(join(root, 'current/Orders')));
  });

  await t.test('a ring that tracks modules/ begins with what is there', async () => {
    startAgain();
    const canary = JSON.parse(platform.read('manifests/canary.lock.json'));
    const url = 'https://packages.example.com/o.zip';
    canary.modules.orders.artifact = { url, sha256: `sha256:${'a'.repeat(64)}`, size_bytes: 1 };
    platform.write({ 'manifests/canary.lock.json': JSON.stringify(canary) });
    const added = await addRing(repository, {
      ...{ ...beta, name: 'nightly', promotesFrom: undefined, tracksModules: true, overlay: false },
    });
    assert.deepEqual(added.files, ['manifests/nightly.lock.json', 'manifests/nightly.ring.yaml']);
    assert.equal(added.withoutOverlay, 'not wanted');
    const lock = JSON.parse(platform.read('manifests/nightly.lock.json'));
    assert.deepEqual(lock.modules, canary.modules, 'packages included');
  });

  await t.test('what is in the way of a new ring is said at once', async () => {
    startAgain();
    platform.git('clean', '-qfd');
    platform.write({
      'manifests/tenants.yaml':
        'tenants: { acme: { ring: stable, hostnames: [acme.example.com] } }\n',
      'overlays/rings/beta/kustomization.yaml': 'resources: []\n',
      'manifests/beta.lock.json': '{}\n',
    });
    const status = platform.git('status', '--porcelain');
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
    assert.equal(platform.git('status', '--porcelain'), status);
  });

  await t.test('a disk that fails half-way leaves no half of a ring', async () => {
    startAgain();
    platform.git('clean', '-qfd');
    platform.write({ 'overlays/rings': null });
    platform.write({ 'overlays/rings': 'a file where a folder is needed\n' });
    const status = platform.git('status', '--porcelain');
    await assert.rejects(addRing(repository, beta), { code: 'disk-failed' });
    assert.equal(platform.git('status', '--porcelain'), status);
  });

  await t.test('everything that needs a ring is said at once, and it stays', async () => {
    startAgain();
    platform.write({
      'manifests/tenants.yaml': 'tenants: { acme: { ring: edge }, foo: { ring: edge } }\n',
      'manifests/edge.ring.yaml': 'promotesFrom: canary\ndefault: true\n',
      'overlays/everything/kustomization.yaml': 'resources:\n  - ../rings/edge/\n  - ../shared\n',
      'overlays/rings/edge/mine.yaml': '# not committed\n',
    });
    const status = platform.git('status', '--porcelain');
    const removal = removeRing(repository, 'edge', { commit: true });
    await assert.rejects(removal, ({ code, details }: { code: string; details: object }) => {
      assert.equal(code, 'ring-in-use');
      assert.deepEqual(details, {
        problems: [
          '2 tenants sit on it in manifests/tenants.yaml: acme, foo',
          'it is the default ring, which tenants that nobody names are served from',
          'stable promotes from it',
          'overlays/everything/kustomization.yaml is built from overlays/rings/edge',
          'overlays/production/kustomization.yaml is built from overlays/rings/edge',
          'git does not have what is in manifests/edge.ring.yaml, overlays/rings/edge/mine.yaml',
        ],
      });
      return true;
    });
    assert.equal(platform.git('status', '--porcelain'), status);
  });

  await t.test('a removal that was cut off is finished by the same command', async () => {
    startAgain();
    platform.git('clean', '-qfd');
    platform.write({
      ...{ 'manifests/tenants.yaml': null, 'overlays/production': null },
      ...{ 'manifests/stable.ring.yaml': null, 'overlays/rings/stable': null },
    });
    const done = await removeRing(repository, 'stable', { commit: true });
    assert.deepEqual(done.removed, ['manifests/stable.lock.json']);
    const committed = platform.git('show', '--name-only', '--format=', 'HEAD').split('\n');
    assert.deepEqual(committed, [
      'manifests/stable.lock.json',
      'manifests/stable.ring.yaml',
      'overlays/rings/stable/kustomization.yaml',
    ]);
    assert.match(platform.git('status', '--porcelain'), /^ D manifests\/tenants\.yaml/);
    await assert.rejects(removeRing(repository, 'stable', { commit: true }), {
      code: 'unknown-ring',
    });
  });
});
