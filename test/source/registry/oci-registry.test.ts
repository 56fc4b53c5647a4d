import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { openRegistries } from '../../../src/source/registry/open-registries.ts';
import type { Registry } from '../../../src/source/registry/registry.ts';
import { opensslMissing } from '../../support/certificates.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../../support/docker-registry.ts';
import { errorOf } from '../../support/error-of.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { startTokenServer } from '../../support/token-server.ts';
import { collect, never, packageOf } from './kinds.ts';

const skip = dockerRegistryMissing() ?? opensslMissing() ?? false;
const basic = `Basic ${Buffer.from('publisher:s3cret-s3cret').toString('base64')}`;
const withToken = { MODULE_REGISTRY_TOKEN: 's3cret-s3cret', MODULE_REGISTRY_USER: 'publisher' };

function open(url: string, environment: NodeJS.ProcessEnv = {}): Registry {
  const settings = {
    kind: 'oci',
    url,
    project: undefined,
    tokenVariable: 'MODULE_REGISTRY_TOKEN',
  } as const;
  const [registry] = openRegistries({ registries: [settings] }, environment, { retryDelayMs: 5 });
  assert.ok(registry !== undefined);
  return registry;
}

test('an open registry is asked without credentials, also when some are set', {
  skip,
}, async (t) => {
  const url = `${await startDockerRegistry(t)}/acme`;
  const module = packageOf('1.0.0');
  const { artifact } = await open(url, withToken).publish(module, never);
  assert.deepEqual(await collect(open(url).read(artifact, never)), module.zip);
});

test('gets bearer tokens from the token server that the registry names', { skip }, async (t) => {
  const tokens = await startTokenServer(t, basic);
  const url = `${await startDockerRegistry(t, tokens.auth)}/acme/modules`;
  const registry = open(url, withToken);
  const module = packageOf('1.0.0');
  const { artifact } = await registry.publish(module, never);
  assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  const scopes = tokens.asked.map(({ scope }) => scope).sort();
  assert.deepEqual(scopes, [
    ...['repository:acme/modules/orders:pull', 'repository:acme/modules/orders:pull,push'],
  ]);
  const denied = await errorOf(open(url).find('orders', '1.0.0'));
  assert.equal(denied.code, 'registry-unauthorized');
  assert.match(denied.hint ?? '', /MODULE_REGISTRY_TOKEN/);
  const wrong = { ...withToken, MODULE_REGISTRY_TOKEN: 'other-other' };
  const refused = await errorOf(open(url, wrong).publish(packageOf('1.1.0'), never));
  assert.equal(refused.code, 'registry-unauthorized');
  assert.ok(!JSON.stringify([refused.message, refused.hint]).includes('other-other'));
});

test('a token that has run out is replaced by a new one', { skip }, async (t) => {
  const tokens = await startTokenServer(t, basic);
  const url = `${await startDockerRegistry(t, tokens.auth)}/acme`;
  const registry = open(url, withToken);
  // Shorter than what is kept in reserve: each is used once.
  tokens.lifeSeconds = 5;
  await registry.publish(packageOf('1.0.0', 'x', 100), never);
  assert.ok(tokens.asked.length > 2, `asked ${tokens.asked.length} times`);
});

test('whoever may only pull is told the scope to push', { skip }, async (t) => {
  const tokens = await startTokenServer(t, basic, true);
  const url = `${await startDockerRegistry(t, tokens.auth)}/acme`;
  await open(url, withToken).publish(packageOf('1.0.0'), never);
  const anonymous = open(url);
  assert.deepEqual(await anonymous.versions('orders'), ['1.0.0']);
  const error = await errorOf(anonymous.publish(packageOf('1.1.0'), never));
  assert.equal(error.code, 'registry-unauthorized');
  assert.match(error.hint ?? '', /pull and push \(GitLab: read_registry and write_registry\)/);
});

test('makes an artifact as the OCI image specification has it', { skip }, async (t) => {
  const base = await startDockerRegistry(t);
  const registry = open(`${base}/acme`);
  const module = packageOf('1.0.0');
  const { artifact } = await registry.publish(module, never);
  assert.equal(artifact.url, `${base}/v2/acme/orders/blobs/${module.sha256}`);
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const response = await fetch(`${base}/v2/acme/orders/manifests/1.0.0`, {
    headers: { accept: type },
  });
  assert.equal(response.headers.get('content-type'), type);
  const text = await response.text();
  const manifest = JSON.parse(text);
  assert.equal(manifest.artifactType, 'application/vnd.ringlock.module.v1');
  assert.equal(manifest.mediaType, type);
  assert.equal(manifest.config.mediaType, 'application/vnd.oci.empty.v1+json');
  assert.equal(manifest.config.digest, `sha256:${createHash('sha256').update('{}').digest('hex')}`);
  const titles = manifest.layers.map(
    ({ annotations }: { annotations: Record<string, string> }) =>
      annotations['org.opencontainers.image.title'],
  );
  assert.deepEqual(titles, ['Orders-1.0.0.zip', 'MANIFEST.json', 'Orders-1.0.0.zip.sha256']);
  assert.equal(manifest.annotations['org.opencontainers.image.version'], '1.0.0');
  assert.equal(manifest.annotations['org.opencontainers.image.revision'], 'c'.repeat(40));
});

test('a tag that is moved does not change what a lock names', { skip }, async (t) => {
  const base = await startDockerRegistry(t);
  const registry = open(`${base}/acme`);
  const module = packageOf('1.0.0');
  const { artifact } = await registry.publish(module, never);
  await registry.publish(packageOf('1.0.1', 'evil'), never);
  const manifests = `${base}/v2/acme/orders/manifests`;
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const other = await (await fetch(`${manifests}/1.0.1`, { headers: { accept: type } })).text();
  const body = other.replaceAll('1.0.1', '1.0.0');
  const moved = await fetch(`${manifests}/1.0.0`, {
    method: 'PUT',
    headers: { 'content-type': type },
    body,
  });
  assert.equal(moved.status, 201);
  assert.notEqual((await registry.find('orders', '1.0.0'))?.sha256, artifact.sha256);
  assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  assert.equal((await errorOf(registry.publish(module, never))).code, 'version-published');
});

test('an image under the module’s name is said to be no package', { skip }, async (t) => {
  const base = await startDockerRegistry(t);
  const registry = open(`${base}/acme`);
  await registry.publish(packageOf('1.0.0'), never);
  const manifests = `${base}/v2/acme/orders/manifests`;
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const text = await (await fetch(`${manifests}/1.0.0`, { headers: { accept: type } })).text();
  const body = text.replaceAll('application/zip', 'application/vnd.oci.image.layer.v1.tar+gzip');
  await fetch(`${manifests}/2.0.0`, { method: 'PUT', headers: { 'content-type': type }, body });
  const error = await errorOf(registry.find('orders', '2.0.0'));
  assert.equal(error.code, 'registry-malformed');
  assert.match(error.message, /acme\/orders:2\.0\.0 what is no package/);
});

test('lists tags page by page, as the specification has it', { skip }, async (t) => {
  // Debian's registry gives all at once, so the pages are answered in its place.
  const proxy = await startFaultProxy(t, await startDockerRegistry(t));
  const pages: Readonly<Record<string, { tags: string[]; next?: string }>> = {
    none: { tags: ['1.10.0', 'latest'], next: '/v2/acme/orders/tags/list?n=2&last=latest' },
    latest: {
      tags: ['1.2.0', '1.9.0'],
      next: 'http://inside:5000/v2/acme/orders/tags/list?n=2&last=1.9.0',
    },
    '1.9.0': { tags: ['2.0.0-beta.1'] },
  };
  proxy.fault = ({ path }) => {
    const url = new URL(path, proxy.url);
    if (!url.pathname.endsWith('/tags/list')) return undefined;
    const page = pages[url.searchParams.get('last') ?? 'none'];
    const headers = page?.next === undefined ? {} : { link: `<${page.next}>; rel="next"` };
    return {
      status: 200,
      headers,
      body: JSON.stringify({ name: 'acme/orders', tags: page?.tags }),
    };
  };
  const versions = await open(`${proxy.url}/acme`).versions('orders');
  assert.deepEqual(versions, ['1.2.0', '1.9.0', '1.10.0', '2.0.0-beta.1']);
});
