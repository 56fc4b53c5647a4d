import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRegistries } from '../../../src/source/registry/open-registries.ts';
import type { Registry } from '../../../src/source/registry/registry.ts';
import { errorOf } from '../../support/error-of.ts';
import { type GitlabToken, serveGitlabPackages, store } from '../../support/gitlab-packages.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { collect, never, packageOf, readToken, writeToken } from './kinds.ts';

const tokens: readonly GitlabToken[] = [
  { token: writeToken, kind: 'private', mayWrite: true },
  { token: readToken, kind: 'private', mayWrite: false },
  { token: 'gldt-0123456789abcdef', kind: 'deploy', mayWrite: true, user: 'gitlab+deploy-token-1' },
  { token: 'old-deploy-0123456789', kind: 'deploy', mayWrite: true, user: 'gitlab+deploy-token-2' },
  { token: 'glcbt-64_0123456789', kind: 'job', mayWrite: true },
];

function open(
  url: string,
  environment: NodeJS.ProcessEnv,
  project: string | undefined = 'acme/modules',
): Registry {
  const settings = {
    kind: 'gitlab',
    url,
    project,
    tokenVariable: 'MODULE_REGISTRY_TOKEN',
  } as const;
  const [registry] = openRegistries({ registries: [settings] }, environment, { retries: 0 });
  assert.ok(registry !== undefined);
  return registry;
}

test('uses private, deploy and job tokens as GitLab documents them', async (t) => {
  const { url } = await serveGitlabPackages(t, tokens);
  const file = join(temporaryDirectory(t), 'token');
  writeFileSync(file, `${writeToken}\n`);
  const environments: readonly NodeJS.ProcessEnv[] = [
    { MODULE_REGISTRY_TOKEN: writeToken },
    { MODULE_REGISTRY_TOKEN_FILE: file },
    { MODULE_REGISTRY_TOKEN: 'gldt-0123456789abcdef' },
    {
      MODULE_REGISTRY_TOKEN: 'old-deploy-0123456789',
      MODULE_REGISTRY_USER: 'gitlab+deploy-token-2',
    },
    { CI_JOB_TOKEN: 'glcbt-64_0123456789', CI_SERVER_URL: url },
    { CI_JOB_TOKEN: 'never used', MODULE_REGISTRY_TOKEN: writeToken },
  ];
  for (const environment of environments) {
    const { artifact } = await open(url, environment).publish(packageOf('1.0.0'), never);
    assert.equal(artifact.sha256, packageOf('1.0.0').sha256);
  }
});

test('sends no token to a server that it was not given for', async (t) => {
  const { url } = await serveGitlabPackages(t, tokens);
  const elsewhere = 'https://gitlab.example.com';
  const bound = { MODULE_REGISTRY_TOKEN: writeToken, MODULE_REGISTRY_URL: elsewhere };
  const error = await errorOf(open(url, bound).versions('orders'));
  assert.equal(error.code, 'registry-unauthorized');
  assert.match(
    error.message,
    /no credentials \(MODULE_REGISTRY_TOKEN is for https:\/\/gitlab\.example\.com\)/,
  );
  const vendor = {
    kind: 'gitlab',
    url,
    project: 'acme/modules',
    tokenVariable: 'VENDOR_REGISTRY_TOKEN',
  } as const;
  const ofVendor = { VENDOR_REGISTRY_TOKEN: writeToken, VENDOR_REGISTRY_URL: elsewhere };
  const [other] = openRegistries({ registries: [vendor] }, ofVendor, { retries: 0 });
  assert.match(
    (await errorOf(other?.versions('orders') ?? Promise.resolve())).message,
    /VENDOR_REGISTRY_TOKEN is for/,
  );
  const job = { CI_JOB_TOKEN: 'glcbt-64_0123456789', CI_SERVER_URL: elsewhere };
  assert.equal((await errorOf(open(url, job).versions('orders'))).code, 'registry-unauthorized');
});

test('names CI_JOB_TOKEN and what it may do when GitLab refuses it', async (t) => {
  const { url } = await serveGitlabPackages(t, tokens);
  const error = await errorOf(
    open(url, { CI_JOB_TOKEN: 'glcbt-wrong-0123', CI_SERVER_URL: url }).versions('orders'),
  );
  assert.match(error.message, /refuses CI_JOB_TOKEN \(401\)/);
  assert.match(error.hint ?? '', /Job token permissions/);
  assert.ok(!error.message.includes('glcbt-wrong'));
});

test('reads every page of a listing', async (t) => {
  const served = await serveGitlabPackages(t, tokens);
  served.pageSize = 3;
  for (let minor = 0; minor < 10; minor++) {
    const { version, zip } = packageOf(`1.${minor}.0`, 'x', 10);
    store(served, 'orders', version, `Orders-${version}.zip`, Buffer.from(zip));
    store(served, 'orders-extra', version, `OrdersExtra-${version}.zip`, Buffer.from(zip));
  }
  const registry = open(served.url, { MODULE_REGISTRY_TOKEN: readToken });
  assert.equal((await registry.versions('orders')).length, 10);
  assert.ok((await registry.find('orders', '1.9.0')) !== undefined);
});

test('says that GitLab has a version twice, rather than guess which one a download gives', async (t) => {
  const served = await serveGitlabPackages(t, tokens);
  const registry = open(served.url, { MODULE_REGISTRY_TOKEN: writeToken });
  await registry.publish(packageOf('1.0.0'), never);
  store(served, 'orders', '1.0.0', 'Orders-1.0.0.zip', Buffer.from('other bytes'));
  const error = await errorOf(registry.find('orders', '1.0.0'));
  assert.equal(error.code, 'registry-ambiguous');
  assert.match(error.message, /under orders 1\.0\.0/);
});

test('a version without its zip is not there, and is completed by publishing again', async (t) => {
  const served = await serveGitlabPackages(t, tokens);
  const registry = open(served.url, { MODULE_REGISTRY_TOKEN: writeToken });
  const module = packageOf('1.0.0');
  store(served, 'orders', '1.0.0', 'MANIFEST.json', Buffer.from(module.manifest));
  assert.equal(await registry.find('orders', '1.0.0'), undefined);
  assert.equal((await registry.publish(module, never)).outcome, 'published');
  const names = served.files.map(({ file }) => file).sort();
  assert.deepEqual(names, ['MANIFEST.json', 'Orders-1.0.0.zip', 'Orders-1.0.0.zip.sha256']);
  served.files.splice(0, 2);
  assert.equal((await registry.publish(module, never)).outcome, 'same');
  assert.equal(served.files.length, 3, 'what is missing beside the zip is published again');
});

test('a project may be each module’s own, by its source', async (t) => {
  const { url } = await serveGitlabPackages(t, tokens);
  const environment = { MODULE_REGISTRY_URL: url, MODULE_REGISTRY_TOKEN: writeToken };
  const sourceOf = () => 'gitlab:acme/modules';
  const [registry] = openRegistries({ registries: [] }, environment, { sourceOf });
  assert.ok(registry !== undefined, 'MODULE_REGISTRY_URL is a registry by itself');
  const module = packageOf('1.0.0');
  const { artifact } = await registry.publish(module, never);
  // A pod reads what its lock names; it needs to know no project.
  const [pod] = openRegistries({ registries: [] }, environment);
  assert.ok(pod !== undefined);
  assert.ok(pod.owns(artifact.url));
  assert.deepEqual(await collect(pod.read(artifact, never)), module.zip);
  const error = await errorOf(pod.versions('orders'));
  assert.equal(error.code, 'no-project');
  assert.equal(error.exitCode, 2);
});

test('plain http to another machine is refused, and so are credentials in a URL', () => {
  const openAt = (url: string) => () => open(url, {});
  assert.throws(openAt('http://gitlab.example.com'), { code: 'insecure-url' });
  const relative = () =>
    openRegistries({ registries: [] }, { MODULE_REGISTRY_URL: '/srv/packages' });
  assert.throws(relative, { code: 'invalid-registry', message: /^MODULE_REGISTRY_URL is/ });
  assert.throws(openAt('https://user:pass@gitlab.example.com'), { code: 'invalid-registry' });
});
