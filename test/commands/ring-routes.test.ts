import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { planRoutes, writeRoutes } from '../../src/git/ring-routes.ts';
import { runCli } from '../support/cli.ts';
import {
  buildOverlay,
  nameOf,
  repositoryTop,
  cannotBuild as skip,
} from '../support/kubernetes/objects.ts';
import { createRepository } from '../support/repository.ts';

test('ring routes writes, checks, follows a move, removes what is left over, and keeps what is not its own', async (t) => {
  const repository = createRepository(t);
  repository.write({
    'manifests/ringlock.yaml': 'routes:\n  gateway: { name: front, namespace: gateways }\n',
    'manifests/stable.ring.yaml': 'namespace: prod\nhostnames: [example.com]\ndefault: true\n',
    'manifests/edge.ring.yaml': 'namespace: prod-edge\npromotesFrom: stable\n',
    'manifests/tenants.yaml': 'tenants:\n  acme:\n    ring: stable\n    hostnames: [acme.org]\n',
  });
  const run = (...args: string[]) => runCli(repository.path, ['ring', 'routes', ...args]);

  const before = await run('--check');
  assert.equal(before.code, 1);
  assert.match(before.stdout, /^missing +overlays\/routes\/ingress\/stable\.ring\.yaml$/m);
  assert.equal(existsSync(join(repository.path, 'overlays')), false, 'a check writes nothing');

  const written = await run();
  assert.equal(written.code, 0, written.stderr);
  assert.match(written.stdout, /^written +overlays\/routes\/gateway\/stable\.ring\.yaml$/m);
  assert.match(written.stdout, /2 hostnames of 1 ring; all others go to stable/);
  assert.equal((await run('--check')).code, 0);

  repository.write({
    'manifests/tenants.yaml': 'tenants:\n  acme:\n    ring: edge\n    hostnames: [acme.org]\n',
    'overlays/routes/ingress/mine.yaml': '# by hand\n',
  });
  const stale = await run('--check', '--json');
  assert.equal(stale.code, 1);
  const { files, default_ring: defaultRing } = JSON.parse(stale.stdout);
  assert.equal(defaultRing, 'stable');
  const differing = files.filter(({ state }: { state: string }) => state !== 'current');
  assert.deepEqual(
    differing.map(({ path, state }: Record<string, string>) => `${state} ${path}`),
    ['gateway', 'ingress'].flatMap((api) => [
      `missing overlays/routes/${api}/edge.ring.yaml`,
      `stale overlays/routes/${api}/kustomization.yaml`,
      `stale overlays/routes/${api}/stable.ring.yaml`,
    ]),
  );

  const found = await findRepository(repository.path);
  await writeRoutes(found, await planRoutes(found, ['ingress']));
  assert.match(repository.read('overlays/routes/ingress/edge.ring.yaml'), /host: acme\.org/);
  assert.doesNotMatch(repository.read('overlays/routes/gateway/stable.ring.yaml'), /prod-edge/);
  assert.equal((await run('--check', '--api', 'ingress')).code, 0, 'the other API is not asked');

  repository.write({ 'manifests/tenants.yaml': 'tenants: {}\n' });
  const removed = await run();
  assert.match(removed.stdout, /^removed +overlays\/routes\/ingress\/edge\.ring\.yaml$/m);
  assert.equal(existsSync(join(repository.path, 'overlays/routes/ingress/edge.ring.yaml')), false);
  assert.equal(repository.read('overlays/routes/ingress/mine.yaml'), '# by hand\n');

  const file = 'overlays/routes/ingress/stable.ring.yaml';
  const crlf = repository.read(file).replaceAll('\n', '\r\n');
  repository.write({ [file]: crlf });
  assert.equal((await run('--check')).code, 0, 'the line ends of a checkout');
  repository.write({ [file]: 'kind: Ingress\n' });
  const inTheWay = await run();
  assert.equal(inTheWay.code, 1);
  assert.match(inTheWay.stderr, /stable\.ring\.yaml is in the way/);
  assert.equal(repository.read(file), 'kind: Ingress\n');
});

test('ring routes refuses a contested hostname and bad usage, and writes nothing', async (t) => {
  const repository = createRepository(t);
  repository.write({
    'manifests/stable.ring.yaml': 'namespace: prod\nhostnames: [example.com]\ndefault: true\n',
    'manifests/tenants.yaml': 'tenants:\n  acme:\n    ring: stable\n    hostnames: [example.com]\n',
  });
  const { code, stderr } = await runCli(repository.path, ['ring:routes']);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /example\.com is claimed by ring stable \(manifests\/stable\.ring\.yaml:2\) and by tenant acme \(manifests\/tenants\.yaml:4\)/,
  );
  assert.equal(existsSync(join(repository.path, 'overlays')), false);
  const wrong = await runCli(repository.path, ['ring', 'routes', '--api', 'mesh']);
  assert.equal(wrong.code, 2);
  repository.write({ 'manifests/tenants.yaml': 'tenants: {}\n' });
  const unnamed = await runCli(repository.path, ['ring', 'routes', '--api', 'gateway']);
  assert.equal(unnamed.code, 2);
  assert.match(unnamed.stderr, /no routes\.gateway/);
});

test('the routes of the sample platform are what its manifests say, and build', {
  skip,
}, async () => {
  const repository = await findRepository(repositoryTop);
  const { files } = await planRoutes(repository, ['gateway', 'ingress']);
  assert.deepEqual(
    files.filter(({ state }) => state !== 'current'),
    [],
  );
  const names = buildOverlay('overlays/routes/ingress').map(nameOf);
  assert.deepEqual(names.sort(), [
    'Ingress autocom-canary/ring',
    'Ingress autocom-edge/ring',
    'Ingress autocom/ring',
    'Ingress autocom/unknown-hostnames',
  ]);
  const gateway = buildOverlay('overlays/gateway')[0];
  for (const { spec } of buildOverlay('overlays/routes/gateway')) {
    assert.deepEqual(spec.parentRefs, [
      { name: gateway?.metadata.name, namespace: gateway?.metadata.namespace },
    ]);
  }
});
