import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { errorOf } from '../support/error-of.ts';
import { freePort } from '../support/postgres.ts';
import { callOf, fullListener, run, serve } from './support.ts';

/** No file of it is ever looked at. */
const nowhere = '/nonexistent';

describe('a handler that the application answers', () => {
  it('gets the context as JSON, and its answer is the output', async (t) => {
    const requests: unknown[] = [];
    const { url } = await serve(t, async (request, response) => {
      const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
      requests.push([request.method, request.url, request.headers['content-type'], body]);
      response.writeHead(201).end('warmed \x1b[32m12\x1b[0m caches of https://u:hunter2@host\n');
    });
    const { output, durationMs } = await run(
      callOf(nowhere, `${url}/hooks/orders?fast=1`, { tenant: 'acme', sourcePath: '/v/orders' }),
    );
    assert.equal(output, 'warmed 12 caches of https://***@host\n');
    assert.ok(durationMs >= 0);
    const body = {
      event: 'onUpgrade',
      ring: 'edge',
      tenant: 'acme',
      fromVersion: '1.0.0',
      toVersion: '1.1.0',
      sourcePath: '/v/orders',
      manifest: { name: 'Orders', alias: 'orders', version: '1.1.0' },
      operationId: '0192f0c1-0000-7000-8000-000000000001',
    };
    assert.deepEqual(requests, [['POST', '/hooks/orders?fast=1', 'application/json', body]]);
  });

  it('is the pod itself under the name localhost, over either protocol', async (t) => {
    const { port } = await serve(t, (_, response) => response.end('four'));
    assert.equal((await run(callOf(nowhere, `http://localhost:${port}/`))).output, 'four');
    const six = createServer((_, response) => response.end('six'));
    const listens = await new Promise<boolean>((resolve) => {
      six.once('error', () => resolve(false)).listen(0, '::1', () => resolve(true));
    });
    if (!listens) return;
    onEnd(t, () => six.close());
    const { port: other } = six.address() as AddressInfo;
    assert.equal((await run(callOf(nowhere, `http://[::1]:${other}/`))).output, 'six');
    assert.equal((await run(callOf(nowhere, `http://localhost:${other}/`))).output, 'six');
  });

  it('is no address out of the pod, and carries no credentials', async () => {
    for (const url of [
      'http://example.com/',
      'https://127.0.0.1/',
      'http://127.0.0.1.example.com/',
      'http://127.0.0.1@example.com/',
      'http://localhost.example.com/',
      'http://0.0.0.0/',
      'http://169.254.169.254/latest/meta-data',
      'http://[::ffff:10.0.0.1]/',
      'http:',
      'HTTP://example.com',
      'file:///etc/passwd',
      'data:text/javascript,1',
      'node:fs',
    ]) {
      const error = await errorOf(run(callOf(nowhere, url)));
      assert.equal(error.code, 'handler-refused', url);
      assert.match(error.message, /is no address in the pod/);
    }
    const error = await errorOf(run(callOf(nowhere, 'http://u:hunter2@127.0.0.1/')));
    assert.equal(error.code, 'handler-refused');
    assert.doesNotMatch(error.message + JSON.stringify(error.details), /hunter2/);
  });

  it('fails with any other status than 2xx, and what was said; no redirect is followed', async (t) => {
    const asked: unknown[] = [];
    const { url } = await serve(t, (request, response) => {
      asked.push(request.url);
      if (request.url === '/moved') response.writeHead(302, { location: '/' }).end();
      else response.writeHead(500).end('the cache is cold\n');
    });
    const moved = await errorOf(run(callOf(nowhere, `${url}/moved`)));
    assert.equal(moved.code, 'handler-failed');
    assert.match(moved.message, /^onUpgrade of orders \(http:.*\/moved\) answered with 302$/);
    const failed = await errorOf(run(callOf(nowhere, url)));
    assert.match(failed.message, /answered with 500: the cache is cold$/);
    assert.equal(failed.details?.['status'], 500);
    assert.equal(failed.details?.['output'], 'the cache is cold\n');
    assert.deepEqual(asked, ['/moved', '/']);
  });

  it('fails when it is not there, hangs up, or breaks its answer off', async (t) => {
    const gone = await errorOf(run(callOf(nowhere, `http://127.0.0.1:${await freePort()}/`)));
    assert.equal(gone.code, 'handler-failed');
    assert.match(gone.message, /gave no answer: connection refused$/);
    const { url } = await serve(t, (request, response) => {
      if (request.url === '/drop') response.destroy();
      else {
        response.writeHead(200, { 'content-length': 100 });
        response.write('warming', () => response.destroy());
      }
    });
    assert.match((await errorOf(run(callOf(nowhere, `${url}/drop`)))).message, /gave no answer/);
    const broken = await errorOf(run(callOf(nowhere, url)));
    assert.match(broken.message, /broke its answer \(200\) off: .*warming$/);
  });

  it('is ended at its time limit: before the connection, the answer, the end of it', async (t) => {
    const { url } = await serve(t, (request, response) => {
      if (request.url === '/silent') return;
      response.writeHead(200).write('warming\n');
    });
    for (const target of [await fullListener(t), `${url}/silent`, url]) {
      const handler = { run: target, once: 'ring', timeout: '300ms' } as const;
      const started = performance.now();
      const error = await errorOf(run(callOf(nowhere, handler)));
      assert.equal(error.code, 'handler-timeout', target);
      assert.match(error.message, /did not end within 300 ms/);
      assert.ok(performance.now() - started < 8000);
    }
  });

  it('may answer at length: all of it is heard, and little kept', async (t) => {
    const { url } = await serve(t, (_, response) => {
      response.write('begun\n');
      for (let i = 0; i < 200; i++) response.write('x '.repeat(20_000));
      response.end('done');
    });
    const { output } = await run(callOf(nowhere, url), { limits: { outputBytes: 2000 } });
    assert.ok(output.length < 2100);
    assert.match(output, /^begun\nx.*bytes cut.*x done$/s);
  });

  it('ends with the reason when it is aborted', async (t) => {
    const controller = new AbortController();
    const reason = new Error('superseded');
    const { url } = await serve(t, () => controller.abort(reason));
    await assert.rejects(
      run(callOf(nowhere, url), { signal: controller.signal }),
      (error) => error === reason,
    );
  });
});
