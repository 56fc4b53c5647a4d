import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readReceivers } from '../../src/outward/read-receivers.ts';
import { webhookReceiver } from '../../src/outward/webhook-receiver.ts';
import { signatureHeaders, signingKeys } from '../../src/outward/webhook-signature.ts';
import { PassClock } from '../../src/reconcile/pass-clock.ts';
import { Tally } from '../../src/reconcile/tally.ts';
import { redact } from '../../src/redaction.ts';
import { metricsText } from '../../src/serve/metrics.ts';
import { parseExposition, sampleValue } from '../support/exposition.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type StandIn, standIn } from './stand-in.ts';
import {
  commitOf,
  convergedAt,
  refusedAt,
  signingSecret,
  startTeller,
  type TellerOptions,
  verified,
} from './support.ts';

const environment = { RINGLOCK_WEBHOOK_SIGNING_SECRET: signingSecret };

async function startWebhook(t: TestContext, options: TellerOptions = {}) {
  const server = await standIn(t);
  const receivers = [webhookReceiver(`${server.url}/hooks/path-secret-abcdef`, environment)];
  const teller = await startTeller(t, receivers, options);
  return { server, receivers, teller };
}

const typesAt = ({ received }: StandIn) => received.map((request) => verified(request).type);

describe('the outgoing webhook', { concurrency: true }, () => {
  it('is signed as the reference library of Standard Webhooks 1.0.0 signs', () => {
    // Made with npm's standardwebhooks 1.1.1: new Webhook(secret).sign(id, time, body).
    const headers = signatureHeaders(
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      1614265330,
      '{"test": 2432232314}',
      signingKeys(signingSecret),
    );
    assert.deepEqual(headers, {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('is signed with the new key and the old one while both are given', async (t) => {
    const server = await standIn(t);
    const other = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    const both = { RINGLOCK_WEBHOOK_SIGNING_SECRET: `${other} ${signingSecret}` };
    const teller = await startTeller(t, [webhookReceiver(server.url, both)]);
    await teller.tell(convergedAt(commitOf('a')));
    const [request] = server.received;
    assert.ok(request);
    assert.equal(verified(request, other).id, verified(request, signingSecret).id);
  });

  it('says what the ring is at, by whose commit', async (t) => {
    const { server, teller } = await startWebhook(t);
    await teller.tell(convergedAt(commitOf('a')));
    const { type, data } = verified(server.received[0] as never);
    assert.equal(type, 'converged');
    const { ring, replica, commit, author, subject, repository } = data;
    assert.deepEqual(
      { ring, replica, commit, author, subject, repository },
      {
        ring: 'edge',
        replica: 'pod-1',
        commit: commitOf('a'),
        author: 'Ada <ada@example.com>',
        subject: 'Orders 1.0.1',
        repository: 'https://git.example.com/acme/platform.git',
      },
    );
  });

  it('is sent again with the same id and body after 500, a cut connection and 429', async (t) => {
    const { server, teller } = await startWebhook(t);
    server.faults.push({ status: 500 }, 'cut', { status: 429, headers: { 'retry-after': '0' } });
    await teller.tell(convergedAt(commitOf('a')));
    await waitUntil('it is taken', () => server.received.length === 4);
    await teller.settled();
    const payloads = server.received.map((request) => verified(request));
    assert.equal(new Set(payloads.map(({ id }) => id)).size, 1);
    assert.equal(new Set(server.received.map(({ body }) => body)).size, 1);
    assert.deepEqual(JSON.parse(teller.kept()).queue, []);
  });

  it('comes in order: the next waits until the one before is done with', async (t) => {
    const { server, teller } = await startWebhook(t);
    server.faults.push({ status: 503 }, { status: 503 });
    await teller.tell(convergedAt(commitOf('a')));
    await teller.tell(refusedAt(commitOf('b')));
    await teller.tell(convergedAt(commitOf('c')));
    await waitUntil('all is told', () => server.received.length === 5);
    const types = ['converged', 'converged', 'converged', 'refused', 'converged'];
    assert.deepEqual(typesAt(server), types);
  });

  for (const [seconds, least] of [
    ['1800', 1799],
    ['999999', 3599],
  ] as const) {
    it(`waits at least ${least} s when Retry-After says ${seconds}, and so does the next`, async (t) => {
      const { server, teller } = await startWebhook(t);
      server.faults.push({ status: 429, headers: { 'retry-after': seconds } });
      const before = Date.now();
      await teller.tell(convergedAt(commitOf('a')));
      await teller.tell(convergedAt(commitOf('b')));
      const [pause] = Object.values(JSON.parse(teller.kept()).pauses) as { notBefore: string }[];
      const waits = Date.parse(pause?.notBefore ?? '') - before;
      assert.ok(waits >= least * 1000 && waits < 3_700_000, `${waits} ms`);
      assert.equal(server.received.length, 1);
    });
  }

  it('is told after a restart, once, under the id that it had', async (t) => {
    const { server, receivers, teller } = await startWebhook(t, {
      schedule: { firstPauseMs: 600_000 },
    });
    server.faults.push('cut', 'cut');
    await teller.tell(convergedAt(commitOf('a')));
    await teller.close();
    const { id } = verified(server.received[0] as never);
    // The clock has gone on.
    const later = () => new Date(Date.now() + 3_600_000);
    const next = await startTeller(t, receivers, { root: teller.root, now: later });
    await next.tell(convergedAt(commitOf('a')));
    await waitUntil('it is told', () => JSON.parse(next.kept()).queue.length === 0);
    await next.close();
    const third = await startTeller(t, receivers, { root: teller.root });
    await third.tell(convergedAt(commitOf('a')));
    assert.deepEqual([...new Set(server.received.map((request) => verified(request).id))], [id]);
    assert.equal(server.faults.length, 0);
  });

  it('is given up after a day, which the log says, and the next is told', async (t) => {
    const server = await standIn(t);
    let now = Date.now();
    const teller = await startTeller(t, [webhookReceiver(server.url, environment)], {
      now: () => new Date(now),
    });
    server.faults.push({ status: 500 }, { status: 500 });
    await teller.tell(convergedAt(commitOf('a')));
    now += 25 * 3_600_000;
    await teller.tell(convergedAt(commitOf('b')));
    assert.match(teller.log(), /is not told of converged: given up \(it answers 500\)/);
    assert.equal(verified(server.received.at(-1) as never).data.commit, commitOf('b'));
    assert.deepEqual(JSON.parse(teller.kept()).queue, []);
  });

  it('is not sent again after a refusal, said once with what to do and nothing secret', async (t) => {
    const { server, teller } = await startWebhook(t);
    const refusal = {
      status: 401,
      body: { message: `POST /hooks/path-secret-abcdef: ${signingSecret} is wrong` },
    };
    server.faults.push(refusal, refusal);
    await teller.tell(convergedAt(commitOf('a')));
    await teller.tell(convergedAt(commitOf('b')));
    assert.equal(server.received.length, 2);
    assert.equal(teller.log().match(/refuses what it is told/g)?.length, 1, teller.log());
    assert.match(teller.log(), /Give the receiver the secret of RINGLOCK_WEBHOOK_SIGNING_SECRET/);
    for (const text of [teller.log(), teller.kept()]) {
      assert.doesNotMatch(text, /path-secret|MfKQ9r8GKYqr/);
    }
    // A word of the address is a secret there only: rings and modules may be called so.
    assert.equal(redact('path-secret-abcdef'), 'path-secret-abcdef');
  });

  it('is told all the same when the disk takes nothing any more', async (t) => {
    const { server, teller } = await startWebhook(t);
    rmSync(teller.root, { recursive: true });
    await teller.tell(refusedAt(commitOf('a')));
    await teller.tell(convergedAt(commitOf('b')));
    await waitUntil('both are told', () => server.received.length === 2);
    assert.deepEqual(typesAt(server), ['refused', 'converged']);
    assert.match(teller.log(), /outward.json/);
  });

  it('follows no redirect, with which a receiver could send the pod elsewhere', async (t) => {
    const inside = await standIn(t);
    const { server, teller } = await startWebhook(t);
    server.faults.push({ status: 307, headers: { location: inside.url } });
    await teller.tell(convergedAt(commitOf('a')));
    assert.equal(inside.received.length, 0);
    assert.match(teller.log(), /Redirects are not followed: give the final URL/);
  });

  it('carries no credentials that an error message has in a URL', async (t) => {
    const { server, teller } = await startWebhook(t);
    await teller.tell(
      refusedAt(commitOf('a'), 'https://bot:hunter2-hunter2@git.example.com says no'),
    );
    const { data } = verified(server.received[0] as never);
    assert.equal(data.error.message, 'https://***@git.example.com says no');
    assert.doesNotMatch(teller.kept(), /hunter2/);
  });

  it('keeps a bounded queue for a receiver that takes nothing, and drops the oldest', async (t) => {
    const { server, receivers, teller } = await startWebhook(t, {
      schedule: { firstPauseMs: 600_000 },
    });
    server.faults.push({ status: 500 });
    await teller.tell(convergedAt(commitOf('a')));
    await teller.close();
    const kept = JSON.parse(teller.kept());
    const [{ message, ...queued }] = kept.queue;
    const queue = Array.from({ length: 500 }, (_, n) => ({
      ...queued,
      message: { ...message, id: `message-${n}` },
    }));
    writeFileSync(join(teller.root, 'outward.json'), JSON.stringify({ ...kept, queue }));
    const next = await startTeller(t, receivers, { root: teller.root });
    await next.tell(convergedAt(commitOf('b')));
    const ids = JSON.parse(next.kept()).queue.map(({ message: { id } }: never) => id);
    assert.equal(ids.length, 500);
    assert.equal(ids[0], 'message-1');
    assert.match(next.log(), /has not taken 500 messages: the oldest are dropped/);
    assert.equal(server.received.length, 1);
    const receiver = `the webhook at ${server.url}`;
    const families = parseExposition(
      await metricsText({
        ...{ status: () => convergedAt(commitOf('b')), clock: new PassClock(), root: next.root },
        memory: { holds: new Map(), failures: [] },
        tally: Object.assign(new Tally(), { backlogs: next.backlogs }),
      }),
    );
    assert.equal(sampleValue(families, 'ringlock_outward_messages', { receiver }), 500);
    assert.equal(sampleValue(families, 'ringlock_outward_failures', { receiver }), 1);
  });
});

describe('where the outside is told, and with what', () => {
  const options = {
    repository: 'https://git.example.com/acme/platform.git',
    webhookUrls: [],
    commitStatus: undefined,
    commitStatusUrl: undefined,
  };
  const refusals: [string, RegExp, object, object][] = [
    ['insecure-url', /plain http/, { webhookUrls: ['http://hooks.example.com/x'] }, environment],
    [
      'invalid-webhook-url',
      /begins with https/,
      { webhookUrls: ['ftp://example.com'] },
      environment,
    ],
    [
      'invalid-webhook-url',
      /user or password/,
      { webhookUrls: ['https://u:p@example.com'] },
      environment,
    ],
    ['webhook-secret-missing', /without RINGLOCK/, { webhookUrls: ['https://example.com'] }, {}],
    [
      'webhook-secret-invalid',
      /base64 of 3 bytes/,
      { webhookUrls: ['https://example.com'] },
      { RINGLOCK_WEBHOOK_SIGNING_SECRET: 'whsec_YWJj' },
    ],
    ['invalid-commit-status', /"svn", expected gitlab/, { commitStatus: 'svn' }, {}],
    ['status-token-missing', /without RINGLOCK_STATUS_TOKEN/, { commitStatus: 'gitlab' }, {}],
    [
      'commit-status-url-missing',
      /does not say which project/,
      { commitStatus: 'github', repository: '/srv/platform.git' },
      { RINGLOCK_STATUS_TOKEN: 'x' },
    ],
  ];
  for (const [code, message, given, variables] of refusals) {
    it(`is refused with ${code} before anything begins: ${message.source}`, async () => {
      const all = { ...options, ...given, environment: variables as NodeJS.ProcessEnv };
      await assert.rejects(readReceivers(all), (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it('is the project that the repository is, on its own forge', async (t) => {
    const shown = async (commitStatus: string, repository: string) => {
      const RINGLOCK_STATUS_TOKEN_FILE = `${temporaryDirectory(t)}/token`;
      writeFileSync(RINGLOCK_STATUS_TOKEN_FILE, 'forge-token\n');
      const given = { ...options, repository, commitStatus };
      const receivers = await readReceivers({
        ...given,
        environment: { RINGLOCK_STATUS_TOKEN_FILE },
      });
      return receivers[0]?.display.replace('the commit statuses of ', '');
    };
    const cases = [
      [
        'gitlab',
        'https://user:pw@gitlab.example.com:8443/acme/shop/platform.git',
        'https://gitlab.example.com:8443/api/v4/projects/acme%2Fshop%2Fplatform',
      ],
      [
        'gitlab',
        'git@gitlab.example.com:acme/platform.git',
        'https://gitlab.example.com/api/v4/projects/acme%2Fplatform',
      ],
      [
        'gitlab',
        'ssh://git@gitlab.example.com:2222/acme/platform.git',
        'https://gitlab.example.com/api/v4/projects/acme%2Fplatform',
      ],
      ['github', 'https://github.com/acme/platform', 'https://api.github.com/repos/acme/platform'],
      [
        'github',
        'https://ghe.example.com/acme/platform.git',
        'https://ghe.example.com/api/v3/repos/acme/platform',
      ],
      [
        'gitea',
        'https://gitea.example.com/acme/platform.git/',
        'https://gitea.example.com/api/v1/repos/acme/platform',
      ],
    ] as const;
    for (const [forge, repository, url] of cases) assert.equal(await shown(forge, repository), url);
  });
});
