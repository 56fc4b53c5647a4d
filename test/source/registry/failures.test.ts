import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { onEnd } from '../../support/cleanup.ts';
import { errorOf } from '../../support/error-of.ts';
import type { Fault, FaultProxy, PassedRequest } from '../../support/fault-proxy.ts';
import { collect, httpCases, never, packageOf, readToken } from './kinds.ts';

/** The download of the package itself, and nothing else. */
const isDownload = ({ method, path }: PassedRequest) =>
  method === 'GET' && (path.endsWith('.zip') || path.includes('/blobs/sha256:'));

/** Faults for the next downloads, one each. */
function downloadsFail(proxy: FaultProxy | undefined, ...faults: readonly (Fault | undefined)[]) {
  assert.ok(proxy !== undefined);
  const left = [...faults];
  proxy.fault = (request) => (isDownload(request) ? left.shift() : undefined);
  proxy.passed.length = 0;
  return () => proxy.passed.filter(isDownload);
}

for (const { kind, missing, start } of httpCases) {
  const options = { skip: missing ?? false };

  test(`${kind}: refuses bytes that are not the artifact's`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open();
    const module = packageOf('1.0.0');
    const { artifact } = await registry.publish(module, never);
    const changed: Record<string, (body: Buffer) => Buffer> = {
      'one byte is another': (body) => {
        const copy = Buffer.from(body);
        copy[50_000] = (copy[50_000] ?? 0) ^ 1;
        return copy;
      },
      'it is shorter': (body) => body.subarray(0, body.length - 1),
      'it is longer': (body) => Buffer.concat([body, Buffer.from('x')]),
      'it is empty': () => Buffer.alloc(0),
    };
    for (const [what, rewrite] of Object.entries(changed)) {
      downloadsFail(proxy, { rewrite });
      const error = await errorOf(collect(registry.read(artifact, never)));
      assert.equal(error.code, 'artifact-mismatch', what);
      assert.equal(error.exitCode, 1);
      assert.match(error.message, new RegExp(`found .*, expected ${module.sha256}`), what);
      assert.match(error.message, /127\.0\.0\.1/, 'the message names the source');
    }
  });

  test(`${kind}: goes on where a download was cut`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open();
    const module = packageOf('1.0.0');
    const { artifact } = await registry.publish(module, never);
    const downloads = downloadsFail(proxy, { cutAfter: 40_000 }, 'cut', { cutAfter: 30_000 });
    assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
    const ranges = downloads().map(({ headers }) => headers.range);
    assert.deepEqual(ranges.slice(0, 2), [undefined, 'bytes=40000-']);
    assert.equal(ranges.at(-1), 'bytes=70000-');
    for (const { headers } of downloads().slice(1))
      assert.match(headers['if-range'] as string, /^"/);
  });

  test(`${kind}: is content with a server that knows no ranges`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open();
    const module = packageOf('1.0.0');
    const { artifact } = await registry.publish(module, never);
    downloadsFail(proxy, { cutAfter: 40_000 }, { without: ['range', 'if-range'] });
    assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  });

  test(`${kind}: goes on after a silence, and gives up when it lasts`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open(undefined, { idleTimeoutMs: 200, retries: 1 });
    const module = packageOf('1.0.0');
    const { artifact } = await registry.publish(module, never);
    downloadsFail(proxy, { silentAfter: 40_000 });
    assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
    downloadsFail(proxy, ...Array<Fault>(9).fill('hang'));
    const error = await errorOf(collect(registry.read(artifact, never)));
    assert.equal(error.code, 'registry-timeout');
    assert.equal(error.exitCode, 3);
  });

  test(
    `${kind}: asks again after 429, 503 and 5xx, and no sooner than it is told`,
    options,
    async (t) => {
      const { open, proxy } = await start(t);
      const registry = open();
      const module = packageOf('1.0.0');
      const { artifact } = await registry.publish(module, never);
      const busy = { status: 429, headers: { 'retry-after': '1' } };
      const downloads = downloadsFail(proxy, busy, { status: 502 }, { status: 500 });
      const before = performance.now();
      assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
      assert.ok(performance.now() - before >= 999, 'Retry-After was not waited for');
      assert.equal(downloads().length, 4);
      downloadsFail(proxy, { status: 503, headers: { 'retry-after': '3600' } });
      const error = await errorOf(collect(registry.read(artifact, never)));
      assert.equal(error.code, 'registry-busy');
      assert.match(error.message, /for another 3600 s/);
    },
  );

  test(`${kind}: gives up on what stays broken`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open();
    const { artifact } = await registry.publish(packageOf('1.0.0'), never);
    const downloads = downloadsFail(proxy, ...Array<Fault>(20).fill({ status: 500 }));
    const error = await errorOf(collect(registry.read(artifact, never)));
    assert.equal(error.code, 'registry-failed');
    assert.equal(downloads().length, 4);
    downloadsFail(proxy, { status: 501 });
    await errorOf(collect(registry.read(artifact, never)));
    assert.equal(proxy?.passed.filter(isDownload).length, 1, '501 is not asked again');
  });

  test(
    `${kind}: takes no token along to another host, nor an address that is not safe`,
    options,
    async (t) => {
      const { open, proxy } = await start(t);
      const registry = open();
      const module = packageOf('1.0.0');
      const { artifact } = await registry.publish(module, never);
      const seen: object[] = [];
      const storage = createServer((request, response) => {
        seen.push(request.headers);
        response.end(module.zip);
      });
      await new Promise<void>((resolve) => storage.listen(0, '127.0.0.1', resolve));
      onEnd(t, () => new Promise((resolve) => storage.close(resolve)));
      const { port } = storage.address() as AddressInfo;
      const secret = 'X-Amz-Signature=0123456789abcdef';
      const location = `http://localhost:${port}/bucket/1?${secret}`;
      downloadsFail(proxy, { status: 307, headers: { location } });
      assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
      assert.equal(seen.length, 1);
      const names = ['authorization', 'private-token', 'job-token', 'deploy-token', 'cookie'];
      for (const name of names) assert.ok(!Object.hasOwn(seen[0] ?? {}, name), name);

      downloadsFail(proxy, {
        status: 302,
        headers: { location: `http://storage.example.com/?${secret}` },
      });
      const error = await errorOf(collect(registry.read(artifact, never)));
      assert.equal(error.code, 'registry-redirected');
      assert.match(error.message, /http:\/\/storage\.example\.com, expected https/);
      assert.ok(!error.message.includes('0123456789abcdef'), error.message);
    },
  );

  test(
    `${kind}: publishing goes on after faults, and after it was given up half-way`,
    options,
    async (t) => {
      const { open, proxy } = await start(t);
      assert.ok(proxy !== undefined);
      const module = packageOf('1.0.0');
      let writes = 0;
      const isWrite = ({ method }: PassedRequest) => method === 'PUT' || method === 'POST';
      // Beginnings of uploads, and uploads themselves, are lost on the way.
      const lost = [1, 4, 8];
      proxy.fault = (request) => (isWrite(request) && lost.includes(++writes) ? 'cut' : undefined);
      const first = await open().publish(module, never);
      assert.equal(first.outcome, 'published');
      for (let allowed = 0; ; allowed++) {
        const version = `1.0.${allowed + 1}`;
        let count = 0;
        proxy.fault = (request) =>
          isWrite(request) && ++count > allowed ? { status: 507 } : undefined;
        const broken = open(undefined, { retries: 0 });
        const half = await broken.publish(packageOf(version), never).catch((error) => error.code);
        proxy.fault = () => undefined;
        const present = await open().find('orders', version);
        assert.equal(present !== undefined, typeof half !== 'string', `after ${allowed} writes`);
        const whole = await open().publish(packageOf(version), never);
        const bytes = await collect(open().read(whole.artifact, never));
        assert.deepEqual(bytes, packageOf(version).zip);
        if (typeof half !== 'string') break;
        assert.equal(half, 'registry-failed');
      }
    },
  );

  test(`${kind}: says which variable and which scope are wanted`, options, async (t) => {
    const { open } = await start(t);
    const { artifact } = await open().publish(packageOf('1.0.0'), never);
    const scopes: Readonly<Record<string, RegExp>> = {
      gitlab: /read_package_registry/,
      oci: /read_registry/,
      http: /may read/,
    };
    const anonymous = open({});
    for (const action of [
      () => anonymous.versions('orders'),
      () => anonymous.find('orders', '1.0.0'),
      () => collect(anonymous.read(artifact, never)),
    ]) {
      const error = await errorOf(action());
      assert.equal(error.code, 'registry-unauthorized');
      assert.equal(error.exitCode, 3);
      assert.match(error.message, /refuses no credentials \(401\)/);
      assert.match(error.hint ?? '', /Set MODULE_REGISTRY_TOKEN \(or MODULE_REGISTRY_TOKEN_FILE\)/);
      assert.match(error.hint ?? '', scopes[kind] ?? /./);
    }
    const wrong = 'glpat-wrong-9876543210';
    const environment = {
      MODULE_REGISTRY_TOKEN: wrong,
      MODULE_REGISTRY_USER: kind === 'oci' ? 'x' : '',
    };
    const error = await errorOf(open(environment).find('orders', '1.0.0'));
    assert.match(error.message, /refuses MODULE_REGISTRY_TOKEN \(401\)/);
    assert.ok(!JSON.stringify([error.message, error.hint, error.details]).includes(wrong));
    if (kind === 'oci') return;
    const reader = open({ MODULE_REGISTRY_TOKEN: readToken });
    assert.equal((await reader.find('orders', '1.0.0'))?.sha256, artifact.sha256);
    const denied = await errorOf(reader.publish(packageOf('1.1.0'), never));
    assert.equal(denied.code, 'registry-unauthorized');
    assert.match(denied.message, /\(403\)/);
    const wanted = kind === 'gitlab' ? /write_package_registry/ : /may write/;
    assert.match(denied.hint ?? '', wanted);
  });

  test(`${kind}: ends when it is told to`, options, async (t) => {
    const { open, proxy } = await start(t);
    const registry = open(undefined, { idleTimeoutMs: 60_000 });
    const { artifact } = await registry.publish(packageOf('1.0.0'), never);
    downloadsFail(proxy, 'hang');
    const stop = new AbortController();
    const reading = collect(registry.read(artifact, stop.signal));
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await assert.rejects(reading, /enough/);
  });

  test(
    `${kind}: a server that repeats the token cannot make a message say it`,
    options,
    async (t) => {
      const { open, proxy } = await start(t);
      assert.ok(proxy !== undefined);
      const token = 'glpat-echoed+secret/0123456789=';
      const user = 'publisher';
      proxy.fault = ({ headers, path }) => {
        const { authorization = '', 'private-token': own } = headers;
        if (path === '/v2/')
          return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
        const body = JSON.stringify({ message: `what is ${authorization} ${own} ${token}?` });
        return { status: 400, headers: { 'content-type': 'application/json' }, body };
      };
      const registry = open({ MODULE_REGISTRY_TOKEN: token, MODULE_REGISTRY_USER: user });
      const error = await errorOf(registry.find('orders', '1.0.0'));
      assert.equal(error.code, 'registry-failed');
      assert.match(error.message, /what is/);
      const pair = Buffer.from(`${user}:${token}`).toString('base64');
      for (const secret of [token, pair, encodeURIComponent(token)]) {
        assert.ok(!JSON.stringify([error.message, error.hint, error.details]).includes(secret));
      }
    },
  );
}
