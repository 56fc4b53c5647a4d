import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import test from 'node:test';
import { RinglockError } from '../../../src/errors.ts';
import { firstMissingBelow } from '../../../src/git/completeness.ts';
import { onEnd } from '../../support/cleanup.ts';
import { errorOf } from '../../support/error-of.ts';
import { freePort } from '../../support/postgres.ts';
import { packFiles } from '../../support/served-repository.ts';
import { serveOverSsh } from '../../support/ssh-platform.ts';
import { sshdMissing } from '../../support/ssh-server.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a server of SSH that fails', { skip: sshdMissing() ?? false }, async (t) => {
  const { sshd, open, tip, orders, database, bare, file } = await serveOverSsh(t);
  t.afterEach(() => {
    sshd.answerWith(undefined);
  });

  const run = 'sh -c "$SSH_ORIGINAL_COMMAND"';
  const failures: readonly {
    readonly what: string;
    readonly script: string;
    readonly code: string;
    readonly message: RegExp;
    readonly hint?: RegExp;
  }[] = [
    {
      what: 'a shell that greets',
      script: `echo 'Welcome to Debian'; exec ${run}`,
      code: 'remote-not-git',
      message: /answers with "Welcome to Debian/,
      hint: /start-up files/,
    },
    {
      what: 'an account without a shell',
      script: "echo 'This account is currently not available.'; exit 1",
      code: 'remote-not-git',
      message: /answers with "This account is currently not available\."/,
    },
    {
      what: 'a repository that is not there',
      script: "exec git-upload-pack '/absent.git'",
      code: 'remote-not-found',
      message: /is no repository, or one that .* may not see with this key: fatal: '\/absent\.git'/,
    },
    {
      what: 'a server without git',
      script: 'PATH= ; git-upload-pack',
      code: 'remote-not-git',
      message: /has no git-upload-pack: .*not found/,
    },
    {
      what: 'a forge that refuses',
      script:
        "printf 'remote: \\nremote: ======\\nremote: \\033[31mERROR: see https://u:hunter2@x.example/\\033[0m\\n%0500d' 1 >&2; exit 1",
      code: 'remote-failed',
      message: /ended with 1: .*ERROR: see https:\/\/\*\*\*@x\.example/,
    },
    {
      what: 'an error packet',
      script: "printf '0012ERR not today\\n'; exit 0",
      code: 'remote-failed',
      message: /answers with an error: not today/,
    },
    {
      what: 'a command that ends at once',
      script: 'exit 0',
      code: 'fetch-incomplete',
      message: /has no end$/,
    },
    {
      what: 'a command that is killed',
      script: 'kill -9 $$',
      code: 'remote-failed',
      message: /was ended by SIGKILL$/,
    },
    {
      what: 'a server that never answers',
      script: 'exec sleep 20',
      code: 'remote-timeout',
      message: /does not answer$/,
    },
    {
      what: 'a server that falls silent',
      script: "printf '000eversion 2\\n'; exec sleep 20",
      code: 'remote-timeout',
      message: /fell silent after 14 bytes$/,
    },
    {
      what: 'a connection that is cut',
      script: "printf '000eversion 2\\n'; kill -9 $PPID; sleep 20",
      code: 'fetch-incomplete',
      message: /ended after \d+ bytes of a response$/,
    },
  ];
  for (const { what, script, code, message, hint } of failures) {
    await t.test(`${what} is a plain error, and the next attempt recovers`, async () => {
      const remote = open({ idleTimeoutMs: code === 'remote-timeout' ? 600 : 20_000 });
      sshd.answerWith(script);
      const error = await errorOf(remote.resolveBranch('main'));
      assert.equal(error.code, code, error.message);
      assert.equal(error.exitCode, 3);
      assert.match(error.message, message);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may come through
      assert.doesNotMatch(error.message, /[\x00-\x1f]|hunter2/);
      assert.ok(error.message.length < 600, 'as long as the server likes');
      if (hint !== undefined) assert.match(error.hint ?? '', hint);
      sshd.answerWith(undefined);
      assert.equal(await open().resolveBranch('main'), tip);
    });
  }

  await t.test('a pack that is cut off anywhere changes nothing', async () => {
    const before = packFiles(database);
    // The connection is lost, or git alone; dd hands each byte on at once.
    const ends = ['kill -9 $PPID', 'kill -9 $$'];
    let cuts = 0;
    for (let bytes = 60; ; bytes += 90) {
      const end = ends[cuts % ends.length];
      sshd.answerWith(`${run} | { dd bs=1 count=${bytes} status=none; ${end}; }`);
      const outcome = await open()
        .fetchTrees([orders])
        .catch((error: unknown) => error);
      if (!(outcome instanceof Error)) break;
      cuts += 1;
      assert.ok(outcome instanceof RinglockError, String(outcome));
      assert.match(outcome.code, /^(fetch-incomplete|remote-failed)$/, outcome.message);
      assert.equal(outcome.exitCode, 3);
      assert.deepEqual(packFiles(database), before);
    }
    assert.ok(cuts > 3, `only ${cuts} cuts`);
    assert.equal(await firstMissingBelow(database, orders), undefined);
  });

  await t.test('a network that falls silent is given up, and asked anew', async (own) => {
    const proxy = await startTcpProxy(own, sshd.url);
    const port = new URL(proxy.url).port;
    const knownHostsFile = file('known', `[127.0.0.1]:${port} ${sshd.hostKey('ed25519')}\n`);
    const remote = open({ knownHostsFile, idleTimeoutMs: 600 }, `${proxy.url}${bare}`);
    assert.equal(await remote.resolveBranch('main'), tip);
    proxy.stall();
    for (const _ of ['on a kept connection', 'on a new one']) {
      const error = await errorOf(remote.resolveBranch('main'));
      assert.equal(error.code, 'remote-timeout', error.message);
      assert.match(error.message, /does not answer$/);
    }
    proxy.heal();
    assert.equal(await remote.resolveBranch('main'), tip);
    proxy.reset();
    const reset = await errorOf(remote.resolveBranch('main'));
    assert.equal(reset.code, 'remote-unreachable', reset.message);
  });

  await t.test('a server that drips is let go when the attempt is over', async (own) => {
    const connections: { isEnded: boolean }[] = [];
    const drip = createTcpServer((socket) => {
      const connection = { isEnded: false };
      connections.push(connection);
      // Never silent: lines before a greeting are allowed.
      const timer = setInterval(() => socket.write('wait\r\n'), 20);
      socket.on('error', () => {});
      socket.once('close', () => {
        clearInterval(timer);
        connection.isEnded = true;
      });
    });
    await new Promise<void>((resolve) => drip.listen(0, '127.0.0.1', resolve));
    onEnd(own, () => drip.close());
    const { port } = drip.address() as AddressInfo;
    let attempt = new AbortController();
    const remote = open({ signal: () => attempt.signal }, `ssh://git@127.0.0.1:${port}/x.git`);
    for (const count of [1, 2]) {
      attempt = new AbortController();
      const asked = remote.resolveBranch('main');
      const failed = assert.rejects(asked, /over/);
      await waitUntil('it is asked', () => connections.length === count);
      attempt.abort(new Error('the attempt is over'));
      await failed;
      await waitUntil('it is let go', () => connections.every(({ isEnded }) => isEnded));
    }
  });

  await t.test('a server that is away, or is none of SSH, is unreachable', async (own) => {
    const refusedAt = `ssh://git@127.0.0.1:${await freePort()}/x.git`;
    const away = await errorOf(open({}, refusedAt).resolveBranch('main'));
    assert.equal(away.code, 'remote-unreachable');
    assert.match(away.message, /ECONNREFUSED/);
    const web = createServer((_, response) => response.end('hello'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    onEnd(own, () => web.close());
    const { port } = web.address() as AddressInfo;
    const other = await errorOf(
      open({}, `ssh://git@127.0.0.1:${port}/x.git`).resolveBranch('main'),
    );
    assert.match(other.code, /^remote-(unreachable|failed)$/);
    assert.equal(other.exitCode, 3);
  });
});
