import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { RinglockError } from '../../src/errors.ts';
import type { TransportOptions } from '../../src/git/http-transport.ts';
import { openObjectDatabase } from '../../src/git/object-database.ts';
import { openRemote } from '../../src/git/open-remote.ts';
import { readPackets } from '../../src/git/pkt-line.ts';
import { type Answer, packets, serveAnswers, sideband } from '../support/hand-made-repository.ts';
import { packFiles } from '../support/served-repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const tip = '1'.repeat(40);
const advertisement = packets('version 2', 'ls-refs', 'fetch=filter', 'object-format=sha1', null);
const refs = packets(`${tip} refs/heads/main`, null);

/** Writes a piece again and again until the client lets go of the connection. */
function endless(response: ServerResponse, piece: Buffer): undefined {
  const large = Buffer.concat(Array(Math.ceil(65_536 / piece.length)).fill(piece));
  const more = (): void => {
    while (!response.destroyed && response.write(large));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
  return undefined;
}

interface Misbehaviour {
  readonly what: string;
  readonly on: 'info-refs' | 'ls-refs' | 'fetch';
  readonly answer: (response: ServerResponse) => Buffer | undefined;
  readonly code: string;
  readonly message: RegExp;
  readonly options?: TransportOptions;
}

const talk = /says more than 33554432 bytes besides a pack, and goes on/;

const misbehaviours: readonly Misbehaviour[] = [
  {
    what: 'capabilities without end',
    on: 'info-refs',
    answer: (response) => endless(response, packets(`agent=${'x'.repeat(60_000)}`)),
    code: 'remote-failed',
    message: talk,
  },
  {
    what: 'flushes without end',
    on: 'info-refs',
    answer: (response) => endless(response, packets(null)),
    code: 'remote-failed',
    message: talk,
  },
  {
    what: 'refs without end',
    on: 'ls-refs',
    answer: (response) => endless(response, packets(`${tip} refs/heads/${'x'.repeat(60_000)}`)),
    code: 'remote-failed',
    message: talk,
  },
  {
    what: 'refs that steer a terminal',
    on: 'ls-refs',
    answer: () => packets(`${tip} refs/heads/\u001b]0;owned\u0007\u009b2J`, null),
    code: 'branch-not-found',
    message: /there are \\u001b\]0;owned\\u0007\\u009b2J$/,
  },
  {
    what: 'sections without end',
    on: 'fetch',
    answer: (response) =>
      endless(response, packets('shallow-info', `shallow ${'1'.repeat(60_000)}`)),
    code: 'remote-failed',
    message: talk,
  },
  {
    what: 'progress without end',
    on: 'fetch',
    answer: (response) => {
      response.write(packets('packfile'));
      return endless(response, Buffer.concat(sideband(2, Buffer.alloc(60_000, 'counting'))));
    },
    code: 'remote-failed',
    message: talk,
  },
  {
    what: 'an error that steers a terminal',
    on: 'fetch',
    answer: () => packets('ERR \u001b[2J\u001b[31mall is well\nringlock: converged'),
    code: 'remote-failed',
    message: /answers with an error: \[2J \[31mall is well ringlock: converged$/,
  },
  {
    what: 'a pack of more bytes than may come',
    on: 'fetch',
    answer: (response) => {
      response.write(packets('packfile'));
      return endless(response, Buffer.concat(sideband(1, Buffer.alloc(60_000, 'PACK'))));
    },
    code: 'limit-exceeded',
    message: /^a pack has more than 8 MiB$/,
  },
  {
    what: 'a byte now and then, never silent for long',
    on: 'fetch',
    answer: (response) => {
      response.write('fff0');
      const timer = setInterval(() => response.write('x'), 10);
      response.once('close', () => clearInterval(timer));
      return undefined;
    },
    code: 'remote-timeout',
    message: /sent \d+ bytes in \d+ s, and has not ended/,
    options: { idleTimeoutMs: 20 },
  },
  {
    what: 'a packet of length 3',
    on: 'ls-refs',
    answer: () => Buffer.from('0003'),
    code: 'remote-not-git',
    message: /a packet starts with "0003"/,
  },
  {
    what: 'another type of content',
    on: 'ls-refs',
    answer: (response) => {
      response.setHeader('content-type', 'text/html');
      return refs;
    },
    code: 'remote-not-git',
    message: /answers with text\/html/,
  },
  {
    what: 'a redirect to no URL',
    on: 'info-refs',
    answer: (response) => {
      response.writeHead(302, { location: 'http://[' });
      return Buffer.alloc(0);
    },
    code: 'remote-redirected',
    message: /redirects to "http:\/\/\[", which is no URL/,
  },
  {
    what: 'a redirect to another host',
    on: 'info-refs',
    answer: (response) => {
      response.writeHead(302, {
        location: 'http://127.0.0.2:1/x/info/refs?service=git-upload-pack',
      });
      return Buffer.alloc(0);
    },
    code: 'remote-redirected',
    message: /redirects to another server, http:\/\/127\.0\.0\.2:1; credentials and trust/,
  },
];

async function askServer(t: TestContext, { on, answer, options }: Misbehaviour) {
  const url = await serveAnswers(t, (request, body, response): ReturnType<Answer> => {
    const kind = request.url?.includes('/info/refs')
      ? 'info-refs'
      : body.includes('command=ls-refs')
        ? 'ls-refs'
        : 'fetch';
    if (kind === on) return answer(response);
    return kind === 'info-refs' ? advertisement : refs;
  });
  const limits = { fetch: 8 << 20, file: 1 << 20, module: 1 << 20, install: 1 << 20 };
  const database = await openObjectDatabase(join(temporaryDirectory(t), 'repo.git'), limits);
  const before = packFiles(database);
  const remote = openRemote(url, database, { retries: 0, ...options });
  t.after(() => remote.close());
  try {
    const found = await remote.resolveBranch('main');
    await remote.fetchCommits(found, undefined);
    return undefined;
  } catch (error) {
    assert.deepEqual(packFiles(database), before);
    return error;
  }
}

for (const misbehaviour of misbehaviours) {
  test(`ends with a server that sends ${misbehaviour.what}`, async (t) => {
    const error = await askServer(t, misbehaviour);
    assert.ok(error instanceof RinglockError, String(error));
    assert.equal(error.code, misbehaviour.code, error.message);
    assert.match(error.message, misbehaviour.message);
  });
}

test('what follows the end of an answer is not waited for', async (t) => {
  const error = await askServer(t, {
    what: '',
    on: 'ls-refs',
    answer: (response) => {
      response.write(refs);
      return endless(response, packets('and more'));
    },
    code: '',
    message: /./,
  });
  // Its refs were taken; then it has no commit to give.
  assert.ok(error instanceof RinglockError);
  assert.match(error.code, /^(fetch-incomplete|fetch-corrupt|remote-.*)$/);
});

test('any bytes are packets or a RinglockError, wherever they are cut', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.constantFrom('0000', '0001', '0002', '0004', '0005a', 'fff0', '000').map(Buffer.from),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 10 }), async (pieces) => {
      async function* stream() {
        yield* pieces;
      }
      try {
        for await (const packet of readPackets(stream())) assert.ok(packet.type);
      } catch (error) {
        assert.ok(error instanceof RinglockError, String(error));
        assert.match(error.code, /^(fetch-incomplete|remote-not-git)$/);
      }
    }),
    { numRuns: 300 },
  );
});
