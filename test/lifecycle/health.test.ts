import assert from 'node:assert/strict';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { type HealthCheck, probeHealth, waitForHealth } from '../../src/lifecycle/health.ts';
import { onEnd } from '../support/cleanup.ts';
import { errorOf } from '../support/error-of.ts';
import { freePort } from '../support/postgres.ts';
import { waitUntil } from '../support/wait-until.ts';
import { fullListener, serve } from './support.ts';

const checkOf = (url: string, more: Partial<HealthCheck> = {}): HealthCheck => ({
  url,
  status: [],
  stableForMs: 0,
  timeoutMs: 20_000,
  intervalMs: 5,
  probeTimeoutMs: 10_000,
  ...more,
});

const never = new AbortController().signal;

/** Answers one status after the other, the last one for ever. */
async function answering(t: TestContext, ...statuses: number[]) {
  let asked = 0;
  const { url } = await serve(t, (_, response) => {
    const status = statuses[Math.min(asked++, statuses.length - 1)] ?? 200;
    response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end('body');
  });
  return { url, asked: () => asked };
}

describe('one health probe', () => {
  it('takes any 2xx for healthy, and only the listed statuses when there is a list', async (t) => {
    const { url } = await answering(t, 204, 204, 418, 500);
    assert.deepEqual(await probeHealth(checkOf(url), never), {
      healthy: true,
      reason: `${url} answers 204`,
    });
    assert.deepEqual(await probeHealth(checkOf(url, { status: [200, 418] }), never), {
      healthy: false,
      reason: `${url} answers 204, expected 200 or 418`,
    });
    assert.equal((await probeHealth(checkOf(url, { status: [200, 418] }), never)).healthy, true);
    assert.deepEqual(await probeHealth(checkOf(url), never), {
      healthy: false,
      reason: `${url} answers 500, expected 2xx`,
    });
  });

  it('follows no redirect: it is an answer of its own', async (t) => {
    const { url, asked } = await answering(t, 302, 302, 200);
    assert.equal(
      (await probeHealth(checkOf(url), never)).reason,
      `${url} answers 302, expected 2xx`,
    );
    assert.equal((await probeHealth(checkOf(url, { status: [302] }), never)).healthy, true);
    assert.equal(asked(), 2);
  });

  it('asks over a connection of its own', async (t) => {
    const connections = new Set<Socket>();
    const { url, server } = await serve(t, (request, response) => {
      assert.equal(request.headers.connection, 'close');
      response.end('ok');
    });
    server.keepAliveTimeout = 60_000;
    server.on('connection', (socket) => connections.add(socket));
    for (let i = 0; i < 3; i++) await probeHealth(checkOf(url), never);
    assert.equal(connections.size, 3);
  });

  it('judges by the status alone: a body without end is no reason to wait', async (t) => {
    let sent = 0;
    let closed = false;
    const { url } = await serve(t, (_, response) => {
      const more = () => {
        if (response.destroyed) return;
        sent += 65_536;
        if (sent > 200 * 1024 * 1024) response.end();
        else if (response.write('x'.repeat(65_536))) more();
      };
      response.on('drain', more).on('close', () => {
        closed = true;
      });
      more();
    });
    assert.equal((await probeHealth(checkOf(url), never)).healthy, true);
    await waitUntil('it hung up', () => closed);
    assert.ok(sent < 20 * 1024 * 1024);
  });

  it('judges by the status when the body breaks off, or never comes', async (t) => {
    const { url } = await serve(t, (request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('x', () => request.url === '/broken' && response.destroy());
    });
    assert.equal((await probeHealth(checkOf(`${url}/broken`), never)).healthy, true);
    const slow = checkOf(`${url}/slow`, { probeTimeoutMs: 1000 });
    assert.equal((await probeHealth(slow, never)).healthy, true);
  });

  it('says why there is no answer', async (t) => {
    const port = await freePort();
    const refused = await probeHealth(checkOf(`http://127.0.0.1:${port}/up`), never);
    assert.deepEqual(refused, {
      healthy: false,
      reason: `http://127.0.0.1:${port}/up cannot be reached: connection refused`,
    });
    const { url } = await serve(t, (request, response) => {
      if (request.url === '/drop') response.destroy();
    });
    const dropped = await probeHealth(checkOf(`${url}/drop`), never);
    assert.match(dropped.reason, /cannot be reached: connection (closed|reset)/);
    const slow = await probeHealth(checkOf(url, { probeTimeoutMs: 50 }), never);
    assert.deepEqual(slow, { healthy: false, reason: `${url} does not answer within 50 ms` });
  });

  it('gives a connection that does not come about no longer than an answer', async (t) => {
    const url = await fullListener(t);
    const started = performance.now();
    const health = await probeHealth(checkOf(url, { probeTimeoutMs: 100 }), never);
    assert.deepEqual(health, { healthy: false, reason: `${url} does not answer within 100 ms` });
    // The HTTP client's own limit for a connection is 10 s.
    assert.ok(performance.now() - started < 8000);
  });

  it('is not healthy when something else than HTTP answers', async (t) => {
    const server = createTcpServer((socket) => socket.end('220 mail.example.com ESMTP\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onEnd(t, () => server.close());
    const { port } = server.address() as { port: number };
    assert.equal((await probeHealth(checkOf(`http://127.0.0.1:${port}`), never)).healthy, false);
  });

  it('sends the user information of its URL, and never shows it', async (t) => {
    const { port } = await serve(t, (request, response) => {
      const { authorization } = request.headers;
      const expected = `Basic ${Buffer.from('probe:s3cret/').toString('base64')}`;
      response.writeHead(authorization === expected ? 200 : 401).end();
    });
    const good = await probeHealth(checkOf(`http://probe:s3cret%2F@127.0.0.1:${port}/`), never);
    assert.deepEqual(good, { healthy: true, reason: `http://***@127.0.0.1:${port}/ answers 200` });
    for (const url of [
      `http://probe:s3cret@127.0.0.1:${port}/`,
      `http://probe:s3cret@127.0.0.1:${await freePort()}/?token=s3cret`,
    ]) {
      const { healthy, reason } = await probeHealth(checkOf(url), never);
      assert.equal(healthy, false);
      assert.doesNotMatch(reason, /s3cret/);
    }
    const error = await errorOf(probeHealth(checkOf('ftp://u:s3cret@h/'), never));
    assert.equal(error.code, 'invalid-health-url');
    assert.doesNotMatch(error.message, /s3cret/);
  });

  it('asks no proxy', async (t) => {
    let proxied = 0;
    const proxy = await serve(t, (_, response) => response.end());
    proxy.server.on('connection', () => proxied++);
    const settings = { http_proxy: proxy.url, HTTP_PROXY: proxy.url, no_proxy: '', NO_PROXY: '' };
    const before = Object.keys(settings).map((name) => [name, process.env[name]] as const);
    Object.assign(process.env, settings);
    try {
      const { url } = await answering(t, 204);
      assert.equal((await probeHealth(checkOf(url), never)).reason, `${url} answers 204`);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
    assert.equal(proxied, 0);
  });

  it('ends with the reason when it is aborted', async (t) => {
    const controller = new AbortController();
    const reason = new Error('superseded');
    const { url } = await serve(t, () => controller.abort(reason));
    const thrown = (error: unknown) => error === reason;
    await assert.rejects(probeHealth(checkOf(url), controller.signal), thrown);
    await assert.rejects(probeHealth(checkOf(url), controller.signal), thrown);
  });
});

describe('waiting for health', () => {
  it('ends at the first good answer when nothing is to be stable', async (t) => {
    const { url, asked } = await answering(t, 503, 503, 200);
    const { tookMs, ...health } = await waitForHealth(checkOf(url), never);
    assert.deepEqual(health, { healthy: true, reason: `${url} answers 200`, probes: 3 });
    assert.equal(asked(), 3);
    assert.ok(tookMs >= 0);
  });

  it('waits for an application that does not listen yet', async (t) => {
    const port = await freePort();
    const waiting = waitForHealth(checkOf(`http://127.0.0.1:${port}`), never);
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n');
    });
    onEnd(t, () => server.close());
    setTimeout(() => server.listen(port, '127.0.0.1'), 100);
    assert.equal((await waiting).healthy, true);
  });

  it('starts the stable time again at each bad answer', async (t) => {
    // One bad answer between good ones: the clock moves on 10 ms with each probe.
    const { url } = await answering(t, 200, 200, 503, 200);
    const clock = probeClock(10);
    const health = await waitForHealth(
      checkOf(url, { stableForMs: 30, intervalMs: 1 }),
      never,
      clock,
    );
    assert.equal(health.healthy, true);
    assert.ok(health.probes >= 5, `${health.probes} probes`);
  });

  it('is unhealthy when an application flaps until the time is up', async (t) => {
    let asked = 0;
    const { url } = await serve(t, (_, response) => {
      response.writeHead(asked++ % 2 === 0 ? 200 : 503).end();
    });
    const health = await waitForHealth(
      checkOf(url, { stableForMs: 1000, timeoutMs: 2000, intervalMs: 1 }),
      never,
      probeClock(100),
    );
    assert.equal(health.healthy, false);
    assert.match(health.reason, /answers 503, expected 2xx$/);
    assert.ok(health.tookMs >= 2000);
  });

  it('gives the last bad answer when the time is up', async (t) => {
    const { url } = await answering(t, 500, 503);
    const health = await waitForHealth(checkOf(url, { timeoutMs: 500 }), never);
    assert.equal(health.healthy, false);
    assert.equal(health.reason, `${url} answers 503, expected 2xx`);
    assert.ok(health.probes > 1);
  });

  it('gives what was measured, not that the last probe was cut short by the end', async (t) => {
    let asked = 0;
    const { url } = await serve(t, (_, response) => {
      if (asked++ === 0) response.writeHead(503).end();
    });
    const health = await waitForHealth(checkOf(url, { timeoutMs: 1000 }), never);
    assert.equal(health.reason, `${url} answers 503, expected 2xx`);
    const { url: silent } = await serve(t, () => {});
    const none = await waitForHealth(checkOf(silent, { timeoutMs: 100 }), never);
    assert.match(none.reason, /does not answer within/);
  });

  it('says that it was healthy, but not for long enough', async (t) => {
    const { url } = await answering(t, 503, 200);
    const check = checkOf(url, { stableForMs: 60_000, timeoutMs: 1000 });
    const { healthy, reason } = await waitForHealth(check, never);
    assert.equal(healthy, false);
    assert.match(
      reason,
      /was healthy for [\d.]+ m?s of 60 s when the time was up; before that, .* answers 503, expected 2xx$/,
    );
  });

  it('does not ask more often than the interval says, but for the end of the stable time', async (t) => {
    const { url } = await answering(t, 200);
    const check = checkOf(url, { stableForMs: 50, intervalMs: 1_000_000 });
    assert.deepEqual((await waitForHealth(check, never)).probes, 2);
  });

  it('does not wait by the clock on the wall', async (t) => {
    const { url } = await answering(t, 503, 503, 503, 200);
    const real = Date.now;
    t.after(() => {
      Date.now = real;
    });
    Date.now = () => real() + 86_400_000 * Math.random();
    const check = checkOf(url, { stableForMs: 20 });
    assert.equal((await waitForHealth(check, never)).healthy, true);
  });

  it('ends with the reason when it is aborted, in a probe or between two', async (t) => {
    const reason = new Error('superseded');
    const { url } = await answering(t, 503);
    const between = new AbortController();
    const waiting = waitForHealth(checkOf(url, { intervalMs: 1_000_000 }), between.signal);
    setTimeout(() => between.abort(reason), 50);
    await assert.rejects(waiting, (error) => error === reason);
    const within = new AbortController();
    const { url: silent } = await serve(t, () => within.abort(reason));
    await assert.rejects(
      waitForHealth(checkOf(silent), within.signal),
      (error) => error === reason,
    );
  });
});

/** A clock that stands still but for a step at each look: real time has no say. */
function probeClock(stepMs: number): () => number {
  let time = 0;
  return () => {
    time += stepMs;
    return time;
  };
}
