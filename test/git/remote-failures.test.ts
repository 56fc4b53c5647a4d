import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { RinglockError } from '../../src/errors.ts';
import { firstMissingBelow } from '../../src/git/completeness.ts';
import { openRemote } from '../../src/git/open-remote.ts';
import { errorOf } from '../support/error-of.ts';
import type { GitFault } from '../support/git-server.ts';
import { packFiles, type ServedRepository, serveRepository } from '../support/served-repository.ts';

interface Case extends ServedRepository {
  readonly tip: string;
  readonly orders: string;
}

async function servePlatform(
  t: TestContext,
  options: Parameters<typeof serveRepository>[1] = {},
): Promise<Case> {
  const served = await serveRepository(t, options);
  const tip = served.repository.commit('Start', {
    'modules/Orders/module.json': '{"alias": "orders"}\n',
    'modules/Orders/src/orders.php': '<?php // orders\n',
  });
  served.publish();
  return { ...served, tip, orders: served.repository.git('rev-parse', 'HEAD:modules/Orders') };
}

for (const clean of [false, true]) {
  test(`a response cut off anywhere changes nothing${clean ? ', also when it ends as if whole' : ''}`, async (t) => {
    const { remote: open, server, database, orders, tip } = await servePlatform(t);
    const probe = open();
    await probe.fetchCommits(tip, undefined);
    const before = packFiles(database);
    const remote = open();
    let cuts = 0;
    // Every fourth byte here, since each takes a run of git; the others in object-database.test.ts.
    for (let after = clean ? 1 : 3; ; after += 4) {
      server.setFault({ kind: 'cut', after, clean }, { on: 'fetch' });
      const outcome = await remote.fetchTrees([orders]).catch((error: unknown) => error);
      // git may send the same pack in one packet or in several, so the whole has no fixed length.
      if (server.requests.at(-1)?.cut !== true) break;
      cuts += 1;
      assert.ok(outcome instanceof RinglockError, `cut after ${after}: ${String(outcome)}`);
      assert.match(outcome.code, /^(fetch-incomplete|remote-unreachable)$/, `cut after ${after}`);
      assert.equal(outcome.exitCode, 3);
      assert.deepEqual(packFiles(database), before);
      assert.equal(await database.has(orders), false);
    }
    assert.ok(cuts > 50);
    server.setFault(undefined);
    await remote.fetchTrees([orders]);
    assert.equal(await firstMissingBelow(database, orders), undefined);
  });
}

/** The response to the same request when nothing goes wrong. */
async function wholeResponse(url: string, want: string): Promise<Buffer> {
  const lines = ['command=fetch', 'agent=git/ringlock', 'object-format=sha1'];
  const args = ['no-progress', 'ofs-delta', `want ${want}`, 'done'];
  const packet = (line: string) => `${(line.length + 5).toString(16).padStart(4, '0')}${line}\n`;
  const response = await fetch(`${url}/platform.git/git-upload-pack`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-git-upload-pack-request',
      'git-protocol': 'version=2',
    },
    body: `${lines.map(packet).join('')}0001${args.map(packet).join('')}0000`,
  });
  return Buffer.from(await response.arrayBuffer());
}

test('a byte changed on the way is never taken for the module', async (t) => {
  const { remote: open, server, database, orders } = await servePlatform(t);
  const { length } = await wholeResponse(server.url, orders);
  const remote = open({ idleTimeoutMs: 2000 });
  let refusals = 0;
  for (let at = 0; at < length; at += 7) {
    server.setFault({ kind: 'corrupt', at }, { on: 'fetch' });
    try {
      await remote.fetchTrees([orders]);
    } catch (error) {
      assert.ok(error instanceof RinglockError, String(error));
      refusals += 1;
      assert.equal(await database.has(orders), false, `byte ${at}`);
      continue;
    }
    // A byte that carries nothing (a progress message): what arrived is whole.
    assert.equal(await firstMissingBelow(database, orders), undefined);
    break;
  }
  assert.ok(refusals > 10);
});

test('a ref whose objects the server does not have is refused, and the next attempt recovers', async (t) => {
  const { remote: open, server, database, tip } = await servePlatform(t);
  const remote = open();
  server.setFault(
    { kind: 'error-packet', message: `upload-pack: not our ref ${tip}` },
    { on: 'fetch' },
  );
  assert.equal(await remote.resolveBranch('main'), tip);
  const error = await errorOf(remote.fetchCommits(tip, undefined));
  assert.equal(error.code, 'remote-lacks-object');
  assert.match(error.message, new RegExp(tip));
  assert.equal(await database.has(tip), false);
  server.setFault(undefined);
  await remote.fetchCommits(tip, undefined);
  assert.equal(await database.has(tip), true);
});

interface Expected {
  readonly name: string;
  readonly fault: GitFault;
  readonly code: string;
  readonly message: RegExp;
}

const failures: readonly Expected[] = [
  {
    name: 'an answer of 500',
    fault: { kind: 'status', status: 500, body: 'database is down' },
    code: 'remote-failed',
    message: /answers with 500: database is down$/,
  },
  {
    name: 'an answer of 404',
    fault: { kind: 'status', status: 404 },
    code: 'remote-not-found',
    message: /is no repository, or one that no credentials may not see \(404\)|is no repository/,
  },
  {
    name: 'an answer of 403',
    fault: { kind: 'status', status: 403 },
    code: 'remote-unauthorized',
    message: /\(403\)/,
  },
  {
    name: 'an error packet in an answer of 200',
    fault: { kind: 'error-packet', message: 'repository is locked' },
    code: 'remote-failed',
    message: /answers with an error: repository is locked$/,
  },
  {
    name: 'a web page in place of git',
    fault: { kind: 'page' },
    code: 'remote-not-git',
    message: /answers with text\/html, expected application\/x-git-upload-pack-/,
  },
  {
    name: 'a redirect to another server',
    fault: { kind: 'redirect', location: 'https://elsewhere.example/platform.git' },
    code: 'remote-redirected',
    message: /redirects/,
  },
  {
    name: 'a server that never answers',
    fault: { kind: 'hang' },
    code: 'remote-timeout',
    message: /does not answer$/,
  },
  {
    name: 'a server that falls silent',
    fault: { kind: 'hang', after: 20 },
    code: 'remote-timeout',
    message: /fell silent after 20 bytes$/,
  },
];

for (const { name, fault, code, message } of failures) {
  test(`${name} is a plain error at every request, and the next attempt recovers`, async (t) => {
    const { remote: open, server, database, tip } = await servePlatform(t);
    const before = packFiles(database);
    for (const on of ['info-refs', 'ls-refs', 'fetch'] as const) {
      const remote = open({ idleTimeoutMs: 400 });
      server.setFault(fault, { on });
      const error = await errorOf(
        on === 'fetch' ? remote.fetchCommits(tip, undefined) : remote.resolveBranch('main'),
      );
      assert.equal(error.code, code, `${on}: ${error.message}`);
      assert.match(error.message, message);
      assert.equal(error.exitCode, 3);
      assert.deepEqual(packFiles(database), before);
      server.setFault(undefined);
      assert.equal(await remote.resolveBranch('main'), tip);
    }
  });
}

test('a redirect on the same server is followed, a loop of them is not', async (t) => {
  const { remote: open, server, tip, url } = await servePlatform(t);
  const suffix = '/info/refs?service=git-upload-pack';
  server.setFault(
    { kind: 'redirect', location: `/platform.git${suffix}`, status: 301 },
    { on: 'info-refs', times: 1 },
  );
  const moved = open({}, `${server.url}/old-name.git`);
  assert.equal(await moved.resolveBranch('main'), tip);
  await moved.fetchCommits(tip, undefined);
  assert.deepEqual(
    [...new Set(server.requests.slice(1).map(({ path }) => path.split('/')[1]))],
    ['platform.git'],
  );

  server.setFault({ kind: 'redirect', location: `${url}${suffix}` }, { on: 'info-refs' });
  const error = await errorOf(open().resolveBranch('main'));
  assert.equal(error.code, 'remote-redirected');
  assert.match(error.message, /more than 5 times/);

  server.setFault({ kind: 'redirect', location: '/users/sign_in' }, { on: 'info-refs' });
  assert.match((await errorOf(open().resolveBranch('main'))).message, /sign_in, which is no git/);
});

test('a busy server is asked again, as often as allowed', async (t) => {
  const { remote: open, server, tip } = await servePlatform(t);
  server.setFault({ kind: 'status', status: 429 }, { times: 2 });
  assert.equal(await open().resolveBranch('main'), tip);
  server.setFault({ kind: 'status', status: 503, headers: { 'retry-after': '0' } });
  server.requests.length = 0;
  const error = await errorOf(open({ retries: 2 }).resolveBranch('main'));
  assert.equal(error.code, 'remote-busy');
  assert.equal(server.requests.length, 3);
});

test('a Retry-After longer than is waited for goes to the caller at once', async (t) => {
  const { remote: open, server } = await servePlatform(t);
  server.setFault({ kind: 'status', status: 429, headers: { 'retry-after': '3600' } });
  const error = await errorOf(open().resolveBranch('main'));
  assert.equal(error.details?.['retryAfterMs'], 3_600_000);
  assert.match(error.message, /busy \(429\), for another 3600 s/);
  assert.equal(server.requests.length, 1);
});

test('credentials are taken from the token or the URL, named when refused, and never shown', async (t) => {
  const auth = { user: 'oauth2', password: 'secret-token-1' };
  const { remote: open, server, url, tip } = await servePlatform(t, { auth });
  assert.equal(await open({ token: () => 'secret-token-1\n' }).resolveBranch('main'), tip);
  const inUrl = url.replace('http://', 'http://oauth2:secret-token-1@');
  const remote = open({}, inUrl);
  assert.equal(await remote.resolveBranch('main'), tip);
  assert.equal(remote.url, url);

  const cases = [
    { options: {}, from: url, source: 'refuses no credentials' },
    {
      options: { token: () => 'secret-wrong', tokenSource: 'the token in RINGLOCK_TOKEN_FILE' },
      from: url,
      source: 'refuses the token in RINGLOCK_TOKEN_FILE',
    },
    {
      options: {},
      from: url.replace('http://', 'http://oauth2:secret-wrong@'),
      source: 'refuses the user name and password in the URL',
    },
  ];
  for (const { options, from, source } of cases) {
    const error = await errorOf(open(options, from).resolveBranch('main'));
    assert.equal(error.code, 'remote-unauthorized');
    assert.ok(error.message.includes(source), error.message);
    assert.doesNotMatch(`${error.message} ${error.hint} ${error.stack}`, /secret/);
  }
  // A server that repeats what it was sent.
  const echoed = Buffer.from('oauth2:secret-wrong').toString('base64');
  server.setFault({ kind: 'status', status: 500, body: `bad: ${echoed} secret-wrong` });
  const error = await errorOf(open({ token: () => 'secret-wrong' }).resolveBranch('main'));
  assert.match(error.message, /bad: \*\*\* \*\*\*/);
});

test('a token that was rotated is taken at the next request', async (t) => {
  const {
    remote: open,
    server,
    tip,
  } = await servePlatform(t, {
    auth: { user: 'oauth2', password: 'first-token' },
  });
  let token = 'first-token';
  const remote = open({ token: async () => token });
  await remote.resolveBranch('main');
  server.setOptions({ auth: { user: 'oauth2', password: 'second-token' } });
  assert.equal((await errorOf(remote.resolveBranch('main'))).code, 'remote-unauthorized');
  token = 'second-token';
  assert.equal(await remote.resolveBranch('main'), tip);
});

test('a server that is not there is unreachable', async (t) => {
  const { remote: open, server } = await servePlatform(t);
  const remote = open();
  await server.close();
  const error = await errorOf(remote.resolveBranch('main'));
  assert.equal(error.code, 'remote-unreachable');
  assert.match(error.message, /ECONNREFUSED/);
});

test('an aborted fetch ends at once and leaves nothing', async (t) => {
  const { remote: open, server, database, tip } = await servePlatform(t);
  const controller = new AbortController();
  const remote = open({ signal: () => controller.signal });
  await remote.resolveBranch('main');
  const before = packFiles(database);
  server.setFault({ kind: 'hang', after: 30 }, { on: 'fetch' });
  const fetching = remote.fetchCommits(tip, undefined);
  const failed = assert.rejects(fetching, { name: 'AbortError' });
  while (server.requests.at(-1)?.kind !== 'fetch') await new Promise(setImmediate);
  controller.abort();
  await failed;
  assert.deepEqual(packFiles(database), before);
});

test('refuses plain http to another machine, and addresses it cannot follow', async (t) => {
  const { database } = await servePlatform(t);
  const refusal = (url: string) => errorOf((async () => openRemote(url, database))());
  const insecure = await refusal('http://user:secret@git.example.com/platform.git');
  assert.equal(insecure.code, 'insecure-url');
  assert.equal(insecure.exitCode, 2);
  assert.doesNotMatch(insecure.message, /secret/);
  for (const url of ['ftp://git.example.com/x', 'git.example.com:x.git', 'git://example.com/x']) {
    assert.equal((await refusal(url)).code, 'unsupported-url', url);
  }
});
