import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { Cli } from 'clipanion';
import { parse } from 'yaml';
import { ReconcileCommand } from '../src/commands/reconcile.ts';
import { ringOfRingFile } from '../src/repo/names.ts';
import { parseRingFile } from '../src/repo/ring.ts';
import { mayConnect, podOf } from './support/kubernetes/network.ts';
import {
  buildOverlay,
  containersOf,
  nameOf,
  repositoryTop,
  cannotBuild as skip,
  workloadsOf,
} from './support/kubernetes/objects.ts';
import { restrictedViolations } from './support/kubernetes/restricted.ts';
import { typeProblems } from './support/kubernetes/types.ts';
import {
  aliasProblems,
  backendProblems,
  openPods,
  referenceProblems,
  resourceProblems,
  secretsAsValues,
  selectorProblems,
  writableContainers,
} from './support/kubernetes/wiring.ts';

/** Every directory below overlays/ that stands for itself: not the parts that others are made of. */
const overlays = readdirSync(join(repositoryTop, 'overlays'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('kustomization.yaml') && !/^(base|components)\//.test(path))
  .map((path) => join('overlays', path, '..'))
  .sort();

const rings = readdirSync(join(repositoryTop, 'manifests'))
  .flatMap((name) => ringOfRingFile(`manifests/${name}`) ?? [])
  .map((name) => {
    const text = readFileSync(join(repositoryTop, `manifests/${name}.ring.yaml`), 'utf8');
    return parseRingFile(text, name).ring;
  });

test('there are overlays for every ring, the shared layer, three places to run, and routes', () => {
  const expected = ['gateway', 'local', 'production', 'shared', 'staging'];
  for (const { name } of rings) expected.push(`rings/${name}`);
  const missing = expected.filter((name) => !overlays.includes(`overlays/${name}`));
  assert.deepEqual(missing, []);
});

test('every object of every overlay is one that Kubernetes takes, without a field it does not know', {
  skip,
}, () => {
  for (const overlay of overlays) {
    const objects = buildOverlay(overlay);
    assert.ok(objects.length > 0, overlay);
    assert.deepEqual(objects.flatMap(typeProblems), [], overlay);
    const names = objects.map(nameOf);
    assert.equal(new Set(names).size, names.length, `${overlay} makes an object twice`);
    for (const object of objects) {
      const isSpaced = object.kind === 'Namespace' || object.metadata.namespace !== undefined;
      assert.ok(isSpaced, `${overlay}: ${nameOf(object)} is in no namespace`);
    }
  }
});

test('every pod keeps the profile `restricted`, and every namespace enforces it', { skip }, () => {
  for (const overlay of overlays) {
    const objects = buildOverlay(overlay);
    for (const { object, pod } of workloadsOf(objects)) {
      assert.deepEqual(restrictedViolations(pod), [], `${overlay}: ${nameOf(object)}`);
      assert.equal(pod.automountServiceAccountToken, false, `${overlay}: ${nameOf(object)}`);
    }
    for (const { kind, metadata } of objects) {
      if (kind !== 'Namespace') continue;
      assert.equal(metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted', overlay);
    }
  }
});

test('every file system is read-only but the one of the frontend, which says why', { skip }, () => {
  const writable = workloadsOf(buildOverlay('overlays/production')).flatMap(writableContainers);
  assert.deepEqual(writable, ['autocom/frontend/frontend']);
  for (const overlay of overlays) {
    const all = workloadsOf(buildOverlay(overlay)).flatMap(writableContainers);
    assert.deepEqual(
      all.filter((name) => !name.endsWith('/frontend/frontend')),
      [],
      overlay,
    );
  }
  const source = readFileSync(join(repositoryTop, 'overlays/base/shared/frontend.yaml'), 'utf8');
  assert.match(source, /# .*exception[\s\S]*sed -i[\s\S]*\n +readOnlyRootFilesystem: false/);
});

test('a ring has three Deployments, in its namespace, under its name, on its branch', {
  skip,
}, () => {
  for (const { name, namespace, branch } of rings) {
    const objects = buildOverlay(`overlays/rings/${name}`);
    const deployments = objects.filter(({ kind }) => kind === 'Deployment');
    assert.deepEqual(
      deployments.map(({ metadata }) => metadata.name).sort(),
      ['api', 'horizon', 'nginx'],
      name,
    );
    for (const object of objects) {
      const { kind, metadata } = object;
      assert.equal(kind === 'Namespace' ? metadata.name : metadata.namespace, namespace);
      assert.equal(metadata.labels?.['ringlock.dev/ring'], name, nameOf(object));
    }
    for (const { labels } of workloadsOf(objects)) assert.equal(labels['ringlock.dev/ring'], name);
    const [config] = objects.filter(({ data }) => data?.['RING_NAME'] !== undefined);
    assert.equal(config?.data?.['RING_NAME'], name);
    assert.equal(config?.data?.['RING_BRANCH'], branch);
  }
});

test('rings that are not beside the shared layer differ in their names alone', () => {
  const overlay = (name: string) => {
    const folder = join(repositoryTop, 'overlays/rings', name);
    assert.deepEqual(readdirSync(folder), ['kustomization.yaml']);
    return readFileSync(join(folder, 'kustomization.yaml'), 'utf8').replaceAll(name, 'NAME');
  };
  assert.equal(overlay('canary'), overlay('edge'));
});

test('the shared layer is made once, and not by a ring', { skip }, () => {
  const deployments = (overlay: string) =>
    buildOverlay(overlay)
      .filter(({ kind }) => kind === 'Deployment')
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
      .sort();
  const shared = ['autocom/docs', 'autocom/frontend', 'autocom/redis'];
  assert.deepEqual(deployments('overlays/shared'), shared);
  const all = [...rings.map(({ name }) => `overlays/rings/${name}`), 'overlays/shared'];
  assert.deepEqual(deployments('overlays/production'), all.flatMap(deployments).sort());
  assert.equal(deployments('overlays/staging').length, 6);
  assert.equal(deployments('overlays/local').length, 6);
});

test('whatever runs modules has a root of its own and a reconciler that begins before it', {
  skip,
}, () => {
  const running = workloadsOf(buildOverlay('overlays/production')).filter(
    ({ name }) => name === 'api' || name === 'horizon',
  );
  assert.equal(running.length, 2 * rings.length);
  for (const { object, pod } of running) {
    const [reconciler, ...more] = pod.initContainers ?? [];
    assert.equal(more.length, 0, nameOf(object));
    assert.equal(reconciler?.restartPolicy, 'Always', 'a native sidecar');
    assert.equal(reconciler.startupProbe?.httpGet?.path, '/readyz', 'the first generation');
    const root = pod.volumes?.find(({ name }) => name === 'modules');
    assert.ok(root?.['emptyDir'], 'a volume that no other pod has');
    const mounts = containersOf(pod).flatMap(({ volumeMounts = [] }) => volumeMounts);
    assert.ok(mounts.every(({ subPath }) => subPath === undefined));
    const [application] = pod.containers;
    const own = application?.volumeMounts?.find(({ name }) => name === 'modules');
    assert.deepEqual(own, { name: 'modules', mountPath: '/var/lib/ringlock', readOnly: true });
    const files = (reconciler.env ?? []).filter(({ name }) => name.endsWith('_FILE'));
    const secrets = ['DATABASE_URL', 'MIGRATIONS_DATABASE_URL', 'MODULE_REGISTRY_TOKEN'];
    assert.deepEqual(
      files.map(({ name }) => name).sort(),
      [...secrets, 'RINGLOCK_GIT_TOKEN'].map((name) => `${name}_FILE`),
    );
    const mounted = JSON.stringify(pod.volumes?.find(({ name }) => name === 'reconciler-secrets'));
    for (const { name, value = '' } of files) {
      assert.ok(mounted.includes(`"path":"${basename(value)}"`), `${name} names a mounted file`);
    }
  }
});

test('a root may lie on a claim of its own, which no second pod can mount', { skip }, () => {
  const roots = workloadsOf(buildOverlay('overlays/staging')).flatMap(({ pod }) =>
    (pod.volumes ?? []).filter(({ name }) => name === 'modules'),
  );
  assert.equal(roots.length, 2);
  const resources = { requests: { storage: '10Gi' } };
  const claim = { accessModes: ['ReadWriteOncePod'], resources };
  const template = { spec: claim };
  for (const root of roots) {
    assert.deepEqual(root, { name: 'modules', ephemeral: { volumeClaimTemplate: template } });
  }
});

test('the reconciler takes the arguments that its pods give it', { skip }, () => {
  const objects = buildOverlay('overlays/rings/edge');
  const config = objects.find(({ data }) => data?.['RING_NAME'] !== undefined)?.data ?? {};
  for (const { pod } of workloadsOf(objects)) {
    for (const { args = [] } of pod.initContainers ?? []) {
      const given = args.map((arg) =>
        arg.replace(/\$\((\w+)\)/g, (_, name) => config[name] ?? assert.fail(`no ${name}`)),
      );
      const command = Cli.from([ReconcileCommand]).process(given) as ReconcileCommand;
      assert.equal(command.watch, true);
      assert.equal(command.branch, 'main');
      assert.deepEqual(command.repo, ['https://gitlab.example.com/autocommerce/main.git']);
    }
  }
});

test('selectors, ports, aliases and references lead to what is there', { skip }, () => {
  for (const overlay of overlays) {
    const objects = buildOverlay(overlay);
    assert.deepEqual(selectorProblems(objects), [], overlay);
    assert.deepEqual(referenceProblems(objects), [], overlay);
    const workloads = workloadsOf(objects);
    assert.deepEqual(workloads.flatMap(secretsAsValues), [], overlay);
    assert.deepEqual(workloads.flatMap(resourceProblems), [], overlay);
  }
  const everything = buildOverlay('overlays/production');
  const aliases = everything.filter(({ spec }) => spec?.type === 'ExternalName');
  assert.equal(aliases.length, 3 * (rings.length - 1), 'three in every ring but the shared one');
  assert.deepEqual(aliasProblems(everything), []);
  const routed = [...everything, ...buildOverlay('overlays/routes/gateway')];
  assert.deepEqual(backendProblems(routed), []);
});

test('a pod reaches what it needs and nothing else', { skip }, () => {
  for (const overlay of overlays) assert.deepEqual(openPods(buildOverlay(overlay)), [], overlay);
  const objects = buildOverlay('overlays/production');
  const pod = (name: string, namespace = 'autocom') => podOf(objects, namespace, name);
  const outside = (address: string) => ({ address });
  const anybody = (namespace: string) => ({ namespace, labels: {} });
  for (const ring of ['autocom', 'autocom-edge', 'autocom-canary']) {
    for (const [from, to, port, expected] of [
      [anybody('ingress-nginx'), pod('nginx', ring), 8080, true],
      [anybody('ingress-nginx'), pod('api', ring), 8080, false],
      [anybody('default'), pod('nginx', ring), 8080, false],
      [pod('nginx', ring), pod('api', ring), 8080, true],
      [pod('nginx', ring), pod('api', ring), 8600, false],
      [pod('nginx', ring), pod('frontend'), 8080, true],
      [pod('nginx', ring), pod('docs'), 8080, true],
      [pod('nginx', ring), pod('redis'), 6379, false],
      [pod('nginx', ring), outside('93.184.216.34'), 443, false],
      [pod('api', ring), pod('redis'), 6379, true],
      [pod('horizon', ring), pod('redis'), 6379, true],
      [pod('api', ring), pod('horizon', ring), 8600, false],
      [anybody('monitoring'), pod('horizon', ring), 8600, true],
      [pod('api', ring), outside('93.184.216.34'), 443, true],
      [pod('horizon', ring), outside('93.184.216.34'), 22, true],
      [pod('api', ring), outside('93.184.216.34'), 25, false],
      [pod('api', ring), outside('169.254.169.254'), 443, false],
      [pod('api', ring), outside('10.20.30.4'), 5432, true],
      [pod('api', ring), outside('10.20.31.4'), 5432, false],
      [pod('frontend'), pod('api', ring), 8080, false],
      [pod('redis'), outside('93.184.216.34'), 443, false],
    ] as const) {
      const what = `${JSON.stringify(from)} to ${JSON.stringify(to)} at ${port}`;
      assert.equal(mayConnect(objects, from, to, port), expected, what);
    }
  }
  assert.equal(
    mayConnect(objects, pod('nginx', 'autocom-canary'), pod('api', 'autocom-edge'), 8080),
    false,
    'a ring does not reach another',
  );
  const local = buildOverlay('overlays/local');
  const postgres = podOf(local, 'autocom-local', 'postgres');
  for (const [name, expected] of [
    ['api', true],
    ['horizon', true],
    ['nginx', false],
  ] as const) {
    const from = podOf(local, 'autocom-local', name);
    assert.equal(mayConnect(local, from, postgres, 5432), expected, name);
  }
});

test('no overlay patches by JSON pointers, which fail where a map is absent', () => {
  const files = readdirSync(join(repositoryTop, 'overlays'), { recursive: true, encoding: 'utf8' });
  for (const path of files.filter((name) => name.endsWith('kustomization.yaml'))) {
    const folder = join(repositoryTop, 'overlays', path, '..');
    const kustomization = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8'));
    assert.equal(kustomization.patchesJson6902, undefined, path);
    for (const { path: file, patch } of kustomization.patches ?? []) {
      const content = parse(patch ?? readFileSync(join(folder, file), 'utf8'));
      assert.ok(!Array.isArray(content), `${path}: ${file ?? 'a patch'} is a list of operations`);
    }
  }
});
