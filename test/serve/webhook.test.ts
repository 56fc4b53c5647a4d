import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Counts } from '../../src/reconcile/counts.ts';
import { PassClock } from '../../src/reconcile/pass-clock.ts';
import { Tally } from '../../src/reconcile/tally.ts';
import { type ObservedServer, type ServerLimits, serveObserved } from '../../src/serve/server.ts';
import { TokenBucket } from '../../src/serve/token-bucket.ts';
import type { WebhookOptions } from '../../src/serve/webhook.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { waitUntil } from '../support/wait-until.ts';

const secret = 'a secret of the ring';
const next = `whsec_${Buffer.from('thirty-two bytes, as forges make').toString('base64')}`;
const push = JSON.stringify({ ref: 'refs/heads/main', after: 'f00' });
const json = { 'content-type': 'application/json' };

const hex = (key: string | Buffer, body: string) =>
  createHmac('sha256', key).update(body).digest('hex');

/** As the Standard Webhooks specification has it; `ago` in seconds. */
function signed(key: string, body: string, ago = 0): Record<string, string> {
  const timestamp = String(Math.floor(Date.now() / 1000) - ago);
  const bytes = key.startsWith('whsec_') ? Buffer.from(key.slice(6), 'base64') : Buffer.from(key);
  const hmac = createHmac('sha256', bytes).update(`msg_1.${timestamp}.${body}`);
  return {
    'webhook-id': 'msg_1',
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${hmac.digest('base64')}`,
  };
}

interface Case {
  readonly what: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly status: number;
  readonly answer: string;
  readonly looks: number;
}

const github = (body: string, key = secret) => ({
  ...json,
  'x-github-event': 'push',
  'x-hub-signature-256': `sha256=${hex(key, body)}`,
});
const other = JSON.stringify({ ref: 'refs/heads/feature' });
const deep = `{"ref":"refs/heads/main","a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;

const right = { status: 202, answer: 'accepted', looks: 1 };
const wrong = { status: 401, answer: 'unauthorized', looks: 0 };
const bad = { status: 400, answer: 'invalid', looks: 0 };
const bearer = { ...json, authorization: `Bearer ${secret}` };

const cases: readonly Case[] = [
  { what: 'GitHub: a signature over the body', headers: github(push), ...right },
  {
    what: 'Gitea: a signature',
    headers: { ...json, 'x-gitea-signature': hex(secret, push) },
    ...right,
  },
  {
    what: 'Forgejo: a signature',
    headers: { ...json, 'x-forgejo-signature': hex(secret, push) },
    ...right,
  },
  { what: 'GitLab: a token', headers: { ...json, 'x-gitlab-token': secret }, ...right },
  { what: 'GitLab: a signing token', headers: { ...json, ...signed(next, push) }, ...right },
  { what: 'a bearer token', headers: bearer, ...right },
  {
    what: 'a bearer token without a body',
    headers: { authorization: `bearer ${secret}` },
    body: '',
    ...right,
  },
  { what: 'the second of two secrets', headers: github(push, next), ...right },
  {
    what: 'GitHub: a ping',
    headers: { ...github('{}'), 'x-github-event': 'ping' },
    body: '{}',
    status: 200,
    answer: 'ping',
    looks: 0,
  },
  {
    what: 'a push to another branch',
    headers: github(other),
    body: other,
    status: 202,
    answer: 'ignored',
    looks: 0,
  },
  { what: 'no proof', headers: json, ...wrong },
  { what: 'GitHub: a signature by another secret', headers: github(push, 'guess'), ...wrong },
  { what: 'GitHub: the signature of another body', headers: github(`${push} `), ...wrong },
  { what: 'GitHub: the old SHA-1', headers: { ...json, 'x-hub-signature': 'sha1=00' }, ...wrong },
  {
    what: 'GitHub: an empty signature',
    headers: { ...json, 'x-hub-signature-256': 'sha256=' },
    ...wrong,
  },
  {
    what: 'GitLab: the start of the token',
    headers: { ...json, 'x-gitlab-token': secret.slice(0, 5) },
    ...wrong,
  },
  {
    what: 'GitLab: an old signed webhook',
    headers: { ...json, ...signed(next, push, 600) },
    ...wrong,
  },
  {
    what: 'GitLab: a signature for another time',
    headers: {
      ...json,
      ...signed(next, push),
      'webhook-timestamp': String(Math.floor(Date.now() / 1000) + 9),
    },
    ...wrong,
  },
  {
    what: 'GitLab: no time',
    headers: { ...json, ...signed(next, push), 'webhook-timestamp': 'soon' },
    ...wrong,
  },
  {
    what: 'a bearer token that is empty',
    headers: { ...json, authorization: 'Bearer ' },
    ...wrong,
  },
  { what: 'garbage', headers: bearer, body: '\u0000\u0001{', ...bad },
  {
    what: 'another content type',
    headers: { ...bearer, 'content-type': 'application/x-www-form-urlencoded' },
    ...bad,
  },
  { what: 'an array', headers: bearer, body: '[]', ...bad },
  { what: 'JSON nested deeply', headers: bearer, body: deep, ...bad },
  { what: 'a ref that is no text', headers: bearer, body: '{"ref":{}}', ...right },
  {
    what: 'a body above 1 MiB',
    headers: bearer,
    body: `{"a":"${'x'.repeat(1 << 20)}"}`,
    status: 413,
    answer: 'too-large',
    looks: 0,
  },
];

describe('POST /webhook', () => {
  let server: ObservedServer;
  let secrets: readonly string[];
  let looks = 0;
  let answers = new Counts();
  const warned: string[] = [];

  const start = (limits?: ServerLimits) => {
    const tally = new Tally();
    const status = () => ({ generation: null, state: 'starting' }) as RootStatus;
    const observed = {
      ...{ status, tally, clock: new PassClock(), root: '/nowhere' },
      memory: { holds: new Map(), failures: [] },
    };
    answers = tally.webhooks;
    const webhook: WebhookOptions = {
      secrets: async () => secrets,
      branch: 'main',
      look: () => {
        looks += 1;
      },
      answers,
      log: { info: () => {}, warn: (message) => warned.push(message) },
    };
    return serveObserved('127.0.0.1:0', observed, webhook, limits);
  };
  const post = (headers: Record<string, string>, body = push) =>
    fetch(`${server.url}/webhook`, { method: 'POST', headers, body });

  before(() => {
    secrets = [secret, next];
  });
  beforeEach(async () => {
    // Anew each time: what one test sends is not to count against the next.
    await server?.close();
    server = await start();
    looks = 0;
  });
  after(() => server.close());

  for (const { what, headers, body, status, answer, looks: expected } of cases) {
    it(`${what}: ${status} ${answer}`, async () => {
      const response = await post(headers, body);
      const told = (await response.json()) as { answer: string };
      assert.deepEqual([response.status, told.answer, looks], [status, answer, expected]);
      const counted = [...answers].filter(({ value }) => value > 0);
      assert.deepEqual(counted, [{ labels: { answer }, value: 1 }]);
    });
  }

  it('is not there without a secret, whatever is sent', async () => {
    secrets = [];
    try {
      assert.equal((await post(github(push, ''))).status, 404);
      assert.equal((await post({ ...json, 'x-gitlab-token': '' })).status, 404);
      assert.equal((await fetch(`${server.url}/webhook`)).status, 404);
    } finally {
      secrets = [secret, next];
    }
    assert.equal((await fetch(`${server.url}/webhook`)).status, 405);
    assert.equal(looks, 0);
  });

  it('lets a burst through, then says when to come again', async () => {
    const responses = await Promise.all(Array.from({ length: 40 }, () => post(bearer)));
    const limited = responses.filter(({ status }) => status === 429);
    assert.ok(limited.length >= 10 && limited.length < 40, `${limited.length} of 40`);
    assert.ok(Number(limited[0]?.headers.get('retry-after')) >= 1);
    assert.equal(looks, 40 - limited.length);
    // Who shows no proof costs nothing and takes nothing away.
    assert.equal((await post(json)).status, 401);
    assert.ok(warned.length >= 1 && !warned.join().includes(secret));
  });

  it('answers before a body that it would not read anyway', async () => {
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    const head = (headers: string) =>
      `POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n${headers}\r\n`;
    socket.write(head('x-gitlab-token: guess\r\n'));
    const [first] = (await new Promise<Buffer[]>((resolve) => {
      socket.once('data', (chunk) => resolve([chunk]));
    })) as [Buffer];
    assert.match(first.toString(), /^HTTP\/1.1 401 /);
    socket.destroy();
  });

  describe('under many connections, or slow ones', () => {
    const sockets = new Set<Socket>();
    const quick: ServerLimits = { headersMs: 300, requestMs: 600, connections: 8 };

    /** A connection, what has come on it, and whether the server has ended it. */
    const open = async () => {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      const connection = { socket, text: '', isEnded: false };
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        connection.text += chunk;
      });
      socket.once('close', () => {
        connection.isEnded = true;
      });
      await once(socket, 'connect');
      return connection;
    };
    const restart = async (limits: ServerLimits) => {
      await server.close();
      server = await start(limits);
    };
    afterEach(() => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    });

    it('answers a probe while others say nothing', async () => {
      await restart({ ...quick, headersMs: 60_000, requestMs: 60_000 });
      const silent: Awaited<ReturnType<typeof open>>[] = [];
      for (let index = 0; index < 30; index++) silent.push(await open());
      const { status } = await fetch(`${server.url}/healthz`);
      assert.ok(status === 200 || status === 503, `${status}`);
      await waitUntil('the first are let go', () => silent[21]?.isEnded);
      assert.equal(silent.filter(({ isEnded }) => !isEnded).length, 7);
    });

    it('ends a request whose head drips', async () => {
      await restart(quick);
      const slow = await open();
      slow.socket.write('POST /webhook HTTP/1.1\r\nhost: x\r\n');
      const drip = setInterval(() => slow.socket.write('x-a: b\r\n'), 50);
      await waitUntil('it is ended', () => slow.isEnded).finally(() => clearInterval(drip));
      assert.match(slow.text, /^HTTP\/1.1 408 /);
    });

    it('ends a request whose body drips, although its token is right, and looks at nothing', async () => {
      await restart(quick);
      const slow = await open();
      const head = 'host: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n';
      slow.socket.write(`POST /webhook HTTP/1.1\r\n${head}x-gitlab-token: ${secret}\r\n\r\n{`);
      const drip = setInterval(() => slow.socket.write(' '), 50);
      await waitUntil('it is ended', () => slow.isEnded).finally(() => clearInterval(drip));
      assert.match(slow.text, /^(HTTP\/1.1 4\d\d |$)/);
      assert.equal(looks, 0);
      assert.equal((await post(bearer)).status, 202);
    });
  });
});

describe('TokenBucket', () => {
  it('refills with time, up to its capacity', () => {
    let now = 0;
    const bucket = new TokenBucket(2, 1, () => now);
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 1]);
    now = 500;
    assert.equal(bucket.take(), 0.5);
    now = 60_000;
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 1]);
  });
});
