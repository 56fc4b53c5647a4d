import assert from 'node:assert/strict';
import { createServer as createPlainServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { openRegistries } from '../../../src/source/registry/open-registries.ts';
import type { Registry } from '../../../src/source/registry/registry.ts';
import { createAuthority, opensslMissing } from '../../support/certificates.ts';
import { onEnd } from '../../support/cleanup.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { errorOf } from '../../support/error-of.ts';
import { collect, never, packageOf } from './kinds.ts';

const skip = opensslMissing() ?? false;
const module = packageOf('1.0.0');
const index = {
  versions: {
    '1.0.0': { file: 'Orders-1.0.0.zip', sha256: module.sha256, size_bytes: module.zip.length },
  },
};

/** A web server with a certificate for packages.example.com, and a proxy that knows where that is. */
async function serve(t: TestContext) {
  const authority = createAuthority(t);
  const tls = authority.issue('DNS:packages.example.com');
  const headers: object[] = [];
  const server: Server = createServer(tls, (request, response) => {
    headers.push(request.headers);
    response.end(request.url?.endsWith('.zip') ? module.zip : JSON.stringify(index));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // One whose handshake failed is no connection to the server, and would be waited for.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  onEnd(t, async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const names = { 'packages.example.com:443': `127.0.0.1:${port}` };
  const proxy = await startConnectProxy(t, { names, user: 'ci:pr0xy-secret' });
  return { authority, headers, port, proxy };
}

function open(url: string, environment: NodeJS.ProcessEnv, caFile?: string): Registry {
  const settings = {
    kind: 'http',
    url,
    project: undefined,
    tokenVariable: 'MODULE_REGISTRY_TOKEN',
  } as const;
  const options = { caFile, retries: 0, idleTimeoutMs: 5_000 };
  const [registry] = openRegistries({ registries: [settings] }, environment, options);
  assert.ok(registry !== undefined);
  return registry;
}

const url = 'https://packages.example.com/modules';

test('goes through HTTPS_PROXY with its credentials, which stay in no message', {
  skip,
}, async (t) => {
  const { authority, proxy, headers } = await serve(t);
  const HTTPS_PROXY = proxy.url.replace('//', '//ci:pr0xy-secret@');
  const environment = { HTTPS_PROXY, MODULE_REGISTRY_TOKEN: 'registry-token-0123' };
  const registry = open(url, environment, authority.file);
  const artifact = await registry.find('orders', '1.0.0');
  assert.ok(artifact !== undefined);
  assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  assert.ok(proxy.asked.every((asked) => asked === 'packages.example.com:443'));
  assert.ok(headers.every((each) => !Object.hasOwn(each, 'proxy-authorization')));
  proxy.refuse(502);
  const fresh = open(url, environment, authority.file);
  const error = await errorOf(fresh.find('orders', '1.0.0'));
  assert.equal(error.code, 'registry-proxy-refused');
  assert.ok(!`${error.message}${error.hint}`.includes('pr0xy-secret'));
});

test('asks directly whom NO_PROXY names', { skip }, async (t) => {
  const { authority, proxy } = await serve(t);
  const environment = { HTTPS_PROXY: proxy.url, NO_PROXY: '.example.com' };
  const error = await errorOf(open(url, environment, authority.file).find('orders', '1.0.0'));
  assert.equal(error.code, 'registry-unreachable');
  assert.deepEqual(proxy.asked, []);
});

test('trusts an authority of RINGLOCK_CA_FILE, and none that it does not know', {
  skip,
}, async (t) => {
  const { authority, proxy } = await serve(t);
  const HTTPS_PROXY = proxy.url.replace('//', '//ci:pr0xy-secret@');
  const known = open(url, { HTTPS_PROXY, RINGLOCK_CA_FILE: authority.file });
  assert.deepEqual(await known.versions('orders'), ['1.0.0']);
  const error = await errorOf(open(url, { HTTPS_PROXY }).versions('orders'));
  assert.equal(error.code, 'registry-untrusted');
  assert.match(error.hint ?? '', /RINGLOCK_CA_FILE/);
});

test('a certificate for another name is not accepted', { skip }, async (t) => {
  const { authority, port } = await serve(t);
  const error = await errorOf(
    open(`https://localhost:${port}/`, {}, authority.file).versions('orders'),
  );
  assert.equal(error.code, 'registry-untrusted');
  assert.match(error.message, /certificate for packages\.example\.com, not for localhost/);
});

test('gives up on a server that drips and never ends', async (t) => {
  let isListing = true;
  const server = createPlainServer((request, response) => {
    if (!request.url?.endsWith('.zip') && isListing)
      return void response.end(JSON.stringify(index));
    response.writeHead(200, { 'content-length': module.zip.length });
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const settings = { kind: 'http', url: `http://127.0.0.1:${port}`, project: undefined } as const;
  const registries = [{ ...settings, tokenVariable: 'MODULE_REGISTRY_TOKEN' }];
  const [registry] = openRegistries({ registries }, {}, { idleTimeoutMs: 50 });
  const artifact = await registry?.find('orders', '1.0.0');
  assert.ok(registry !== undefined && artifact !== undefined);
  const error = await errorOf(collect(registry.read(artifact, never)));
  assert.equal(error.code, 'registry-too-slow');
  isListing = false;
  assert.equal((await errorOf(registry.versions('orders'))).code, 'registry-too-slow');
});

test('an upload over a slow line may take longer than a server may be silent', async (t) => {
  const files = new Map<string, number>();
  const server = createPlainServer(async (request, response) => {
    let bytes = 0;
    for await (const chunk of request) {
      bytes += (chunk as Buffer).length;
      // 24 MiB in as many steps: some four times the silence that is allowed.
      if (Math.floor(bytes / 2 ** 20) > Math.floor((bytes - (chunk as Buffer).length) / 2 ** 20)) {
        await wait(100);
      }
    }
    const path = request.url ?? '';
    if (request.method === 'PUT') files.set(path, bytes);
    if (request.method === 'GET' && path.endsWith('index.json') && files.has(path)) {
      return void response.end(JSON.stringify({ versions: { '1.0.0': slowEntry } }));
    }
    if (request.method === 'GET' && path.endsWith('.zip') && files.has(path)) {
      return void response.end(large.zip);
    }
    response.writeHead(request.method === 'PUT' ? 201 : 404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const large = packageOf('1.0.0', 'large', 24 * 2 ** 20);
  const slowEntry = {
    file: 'Orders-1.0.0.zip',
    sha256: large.sha256,
    size_bytes: large.zip.length,
  };
  const settings = { kind: 'http', url: `http://127.0.0.1:${port}`, project: undefined } as const;
  const registries = [{ ...settings, tokenVariable: 'MODULE_REGISTRY_TOKEN' }];
  const [registry] = openRegistries({ registries }, {}, { idleTimeoutMs: 600, retries: 0 });
  await registry?.publish(large, never);
  assert.equal(files.get('/orders/1.0.0/Orders-1.0.0.zip'), large.zip.length);
});

test('sends tokens over plain http to no other machine', () => {
  for (const plain of [
    'http://packages.example.com/',
    'http://10.0.0.1/',
    'http://localhost.evil.com/',
  ]) {
    assert.throws(() => open(plain, {}), { code: 'insecure-url' });
  }
});
