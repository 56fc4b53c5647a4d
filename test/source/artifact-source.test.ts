import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { writeZip } from '../../src/release/zip-writer.ts';
import { defaultLimits } from '../../src/repo/limits.ts';
import type { LockArtifact } from '../../src/repo/lock.ts';
import { artifactSource } from '../../src/source/artifact/artifact-source.ts';
import { readUrl } from '../../src/source/artifact/read-url.ts';
import type { SourceFile } from '../../src/source/module-source.ts';
import { Connections } from '../../src/wire/connections.ts';
import { errorOf } from '../support/error-of.ts';
import { type FileServerOptions, serveFiles } from '../support/file-server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const zip = writeZip([
  { path: 'module.json', executable: false, content: Buffer.from('{"alias":"a"}') },
  { path: 'bin/run', executable: true, content: Buffer.from('#!/bin/sh\n') },
  { path: 'noise', executable: false, content: randomLike(100_000) },
]);

/** Does not compress, and is the same each time. */
function randomLike(length: number): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 32 < length; n++) parts.push(createHash('sha256').update(`${n}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

function artifactAt(url: string, more: Partial<LockArtifact> = {}): LockArtifact {
  const sha256 = `sha256:${createHash('sha256').update(zip).digest('hex')}`;
  return { url, sha256, size_bytes: zip.length, ...more };
}

interface Arrangement {
  readonly server: Awaited<ReturnType<typeof serveFiles>>;
  readonly url: string;
  readonly staging: string;
  read(artifact: LockArtifact, signal?: AbortSignal): Promise<SourceFile[]>;
}

async function arrange(
  t: TestContext,
  options: FileServerOptions & {
    readonly registryUrl?: string;
    readonly giveToken?: string;
    readonly idleTimeoutMs?: number;
  } = {},
): Promise<Arrangement> {
  const directory = temporaryDirectory(t, 'files');
  writeFileSync(join(directory, 'a-1.0.0.zip'), zip);
  const server = await serveFiles(t, directory, options);
  const staging = temporaryDirectory(t, 'staging');
  const { idleTimeoutMs = 1_000 } = options;
  const connections = new Connections({ idleTimeoutMs, caFile: undefined, environment: {} });
  t.after(() => connections.close());
  const readArtifact = readUrl({
    ...{ connections, idleTimeoutMs, retryDelayMs: 1 },
    registryUrl: options.registryUrl ?? server.url,
    token: async () => options.giveToken,
  });
  const read: Arrangement['read'] = async (artifact, signal = new AbortController().signal) => {
    const source = artifactSource({
      ...{
        readArtifact,
        isAllowed: () => true,
        staging,
        limits: defaultLimits,
        maxFiles: 10,
        signal: () => signal,
      },
    });
    const entry = { ...emptyEntry, artifact };
    const found: SourceFile[] = [];
    for await (const file of (await source.read({ alias: 'a', entry })) ?? []) found.push(file);
    return found;
  };
  return { server, url: `${server.url}/a-1.0.0.zip`, staging, read };
}

const emptyEntry = {
  ...{ version: '1.0.0', directory: 'A', source: null, tree: null, artifact: null },
  ...{ sha256: `sha256:${'0'.repeat(64)}`, file_count: 3, size_bytes: 0, released_at: null },
};

test('reads a package from a web server and a file, and leaves nothing in staging', async (t) => {
  const { url, read, staging } = await arrange(t);
  const expected = ['bin/run', 'module.json', 'noise'];
  assert.deepEqual(
    (await read(artifactAt(url))).map(({ path }) => path),
    expected,
  );
  const path = join(temporaryDirectory(t), 'päckage.zip');
  writeFileSync(path, zip);
  const [run, ...others] = await read(artifactAt(pathToFileURL(path).href));
  assert.deepEqual([run?.path, run?.executable, others.length], ['bin/run', true, 2]);
  assert.deepEqual(readdirSync(staging), []);
});

test('goes on where a connection ended, by range', async (t) => {
  const { server, url, read } = await arrange(t);
  server.setFault({ kind: 'cut', after: 40_000 }, 2);
  assert.equal((await read(artifactAt(url))).length, 3);
  assert.deepEqual(
    server.requests.map(({ range, status }) => [range, status]),
    [
      [undefined, 200],
      ['bytes=40000-', 206],
      ['bytes=80000-', 206],
    ],
  );
});

test('begins anew at a server that knows no ranges, and takes each byte once', async (t) => {
  const { server, url, read } = await arrange(t, { ranges: false });
  server.setFault({ kind: 'cut', after: 40_000 }, 1);
  assert.equal((await read(artifactAt(url))).length, 3);
  assert.deepEqual(
    server.requests.map(({ status }) => status),
    [200, 200],
  );
});

test('gives up a server that breaks off again and again, or falls silent', async (t) => {
  const { server, url, read, staging } = await arrange(t);
  server.setFault({ kind: 'cut', after: 0 });
  assert.equal((await errorOf(read(artifactAt(url)))).code, 'registry-incomplete');
  assert.equal(server.requests.length, 4);
  server.setFault({ kind: 'hang', after: 100 }, 2);
  server.requests.length = 0;
  assert.equal((await read(artifactAt(url))).length, 3);
  assert.deepEqual(readdirSync(staging), []);
});

test('waits as long as a busy server says, and asks a failing one again', async (t) => {
  const { server, url, read } = await arrange(t);
  const busy = { kind: 'status', status: 503, headers: { 'retry-after': '1' } } as const;
  server.setFault(busy, 1);
  const start = performance.now();
  assert.equal((await read(artifactAt(url))).length, 3);
  assert.ok(performance.now() - start >= 1_000);
  server.setFault({ kind: 'status', status: 500 }, 2);
  assert.equal((await read(artifactAt(url))).length, 3);
  server.setFault({ kind: 'status', status: 503, headers: { 'retry-after': '3600' } });
  server.requests.length = 0;
  const error = await errorOf(read(artifactAt(url)));
  assert.deepEqual([error.code, server.requests.length], ['registry-busy', 1]);
});

test('refuses bytes that are not those of the lock: changed, fewer, more, without end', async (t) => {
  const { server, url, read, staging } = await arrange(t);
  server.setFault({ kind: 'lie', at: 500 });
  const lie = await errorOf(read(artifactAt(url)));
  assert.equal(lie.code, 'artifact-mismatch');
  assert.match(lie.message, /has the digest sha256:[0-9a-f]{64}, the lock says sha256:/);
  server.setFault(undefined);
  const more = await errorOf(read(artifactAt(url, { size_bytes: zip.length + 1 })));
  assert.match(more.message, new RegExp(`has ${zip.length} bytes, the lock says`));
  const fewer = await errorOf(read(artifactAt(url, { size_bytes: 1000 })));
  assert.match(fewer.message, /more than the 1000 bytes/);
  server.setFault({ kind: 'endless' });
  assert.match((await errorOf(read(artifactAt(url)))).message, /more than the \d+ bytes/);
  const huge = await errorOf(read(artifactAt(url, { size_bytes: 2 ** 40 })));
  assert.equal(huge.code, 'artifact-mismatch');
  assert.deepEqual(readdirSync(staging), []);
});

test('sends the token to its registry and to no other server, whoever redirects there', async (t) => {
  const token = 'glpat-very-secret-token';
  const registry = await arrange(t, { token, giveToken: token });
  assert.equal((await registry.read(artifactAt(registry.url))).length, 3);
  const stranger = await arrange(t);
  registry.server.setFault({ kind: 'redirect', location: stranger.url }, 1);
  assert.equal((await registry.read(artifactAt(registry.url))).length, 3);
  assert.equal((await registry.read(artifactAt(stranger.url))).length, 3);
  assert.deepEqual(
    stranger.server.requests.map(({ authorization }) => authorization),
    [undefined, undefined],
  );
  const wrong = await arrange(t, { token, giveToken: 'glpat-other-secret-token' });
  const error = await errorOf(wrong.read(artifactAt(wrong.url)));
  assert.equal(error.code, 'registry-unauthorized');
  assert.match(error.hint ?? '', /MODULE_REGISTRY_TOKEN.*read_package_registry/);
  assert.doesNotMatch(JSON.stringify([error.message, error.hint, error.details]), /glpat/);
});

test('asks nothing of plain http elsewhere, of other schemes, of credentials in a lock', async (t) => {
  const { server, url, read } = await arrange(t);
  const refusals: Record<string, string> = {
    'http://registry.example.com/a.zip': 'insecure-url',
    'ftp://registry.example.com/a.zip': 'unsupported-url',
    'https://user:word@registry.example.com/a.zip': 'credentials-in-url',
    'file://elsewhere/a.zip': 'unsupported-url',
    'not a url': 'unsupported-url',
    [`${server.url}/missing.zip`]: 'registry-not-found',
    'file:///nowhere/a.zip': 'registry-not-found',
    'file:///dev/zero': 'registry-failed',
  };
  for (const [text, code] of Object.entries(refusals)) {
    assert.equal((await errorOf(read(artifactAt(text)))).code, code, text);
  }
  for (const location of ['http://example.com/x', 'file:///etc/passwd', 'ftp://x/y']) {
    server.setFault({ kind: 'redirect', location }, 1);
    const { code } = await errorOf(read(artifactAt(url)));
    assert.match(code, /^(insecure-url|registry-redirected)$/, location);
  }
  server.setFault({ kind: 'redirect', location: url });
  assert.equal((await errorOf(read(artifactAt(url)))).code, 'registry-redirected');
});

test('does not wait for a pipe in the place of a file', async (t) => {
  const { read } = await arrange(t);
  const directory = join(temporaryDirectory(t), 'd');
  mkdirSync(directory);
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const artifact = artifactAt(pathToFileURL(join(directory, 'pipe')).href);
  assert.equal((await errorOf(read(artifact))).code, 'registry-failed');
});

test('gives up a server that drips after one answer, so that the next source is asked', async (t) => {
  let requests = 0;
  const dripping = createServer((_, response) => {
    requests += 1;
    response.writeHead(200, { 'content-length': zip.length });
    const drip = setInterval(() => response.write('x'), 5);
    response.on('close', () => clearInterval(drip));
  });
  await new Promise<void>((resolve) => dripping.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    dripping.closeAllConnections();
    dripping.close();
  });
  const { port } = dripping.address() as AddressInfo;
  const { read, staging } = await arrange(t, { idleTimeoutMs: 20 });
  const error = await errorOf(read(artifactAt(`http://127.0.0.1:${port}/a-1.0.0.zip`)));
  assert.equal(error.code, 'registry-too-slow');
  assert.equal(requests, 1);
  assert.deepEqual(readdirSync(staging), []);
});

test('ends with the pass that it belongs to', async (t) => {
  const { server, url, read, staging } = await arrange(t);
  server.setFault({ kind: 'hang', after: 100 });
  const stop = new AbortController();
  const reading = read(artifactAt(url), stop.signal);
  setTimeout(() => stop.abort(new Error('the pass is over')), 100);
  await assert.rejects(reading, /the pass is over/);
  assert.deepEqual(readdirSync(staging), []);
});
