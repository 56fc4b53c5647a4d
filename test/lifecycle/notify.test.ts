import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  type NotifyPayload,
  type NotifyTargets,
  notifyApplication,
} from '../../src/lifecycle/notify.ts';
import { onEnd } from '../support/cleanup.ts';
import { errorOf } from '../support/error-of.ts';
import { freePort } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { serve } from './support.ts';

const payload: NotifyPayload = {
  ring: 'edge',
  replica: 'edge-7f9c-x2x4z',
  operationId: '0192f0c1-0000-7000-8000-000000000001',
  generation: 42,
  commit: 'a'.repeat(40),
  lockDigest: `sha256:${'b'.repeat(64)}`,
  previousGeneration: 41,
};

const notify = (
  targets: Partial<NotifyTargets>,
  signal = new AbortController().signal,
  environment: NodeJS.ProcessEnv = { PATH: process.env['PATH'] },
  told = payload,
) => notifyApplication({ timeoutMs: 20_000, ...targets }, told, signal, environment);

const post = (url: string, timeoutMs = 20_000) => notify({ http: { url, timeoutMs } });

function executable(t: TestContext, text: string): string {
  const file = join(temporaryDirectory(t), 'reload');
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe('telling the application by HTTP', () => {
  it('posts the payload as JSON', async (t) => {
    const bodies: unknown[] = [];
    const { url } = await serve(t, async (request, response) => {
      assert.equal(request.method, 'POST');
      assert.equal(request.headers['content-type'], 'application/json');
      bodies.push(JSON.parse(Buffer.concat(await request.toArray()).toString()));
      response.writeHead(202).end('later');
    });
    const done = await post(`${url}/reload`);
    assert.deepEqual(done, [{ kind: 'http', detail: `${url}/reload answered 202` }]);
    assert.deepEqual(bodies, [payload]);
  });

  it('tries again while the application reloads: 5xx, dropped connections', async (t) => {
    let asked = 0;
    const { url } = await serve(t, (_, response) => {
      asked++;
      if (asked === 1) response.writeHead(503).end();
      else if (asked === 2) response.destroy();
      else response.end();
    });
    assert.match((await post(url))[0]?.detail ?? '', /answered 200 at attempt 3$/);
  });

  it('tries again until the application listens', async (t) => {
    const port = await freePort();
    const server = createHttpServer((_, response) => response.end());
    onEnd(t, () => server.close());
    setTimeout(() => server.listen(port, '127.0.0.1'), 120);
    assert.match((await post(`http://127.0.0.1:${port}`))[0]?.detail ?? '', /at attempt \d+$/);
  });

  it('takes any other answer for the last word: a redirect, a refusal', async (t) => {
    const asked: unknown[] = [];
    const { url } = await serve(t, (request, response) => {
      asked.push(request.url);
      if (request.url === '/moved') response.writeHead(307, { location: '/' }).end();
      else response.writeHead(403).end('no https://u:hunter2@host here\n');
    });
    const moved = await errorOf(post(`${url}/moved`));
    assert.equal(moved.code, 'notify-failed');
    assert.equal(moved.exitCode, 3);
    assert.deepEqual(moved.details?.['kind'], 'http');
    assert.match(moved.message, /cannot notify by http: .*\/moved answered 307$/);
    const refused = await errorOf(post(url));
    assert.match(refused.message, /answered 403 \(no https:\/\/\*\*\*@host here\)$/);
    assert.deepEqual(asked, ['/moved', '/']);
  });

  it('gives up when its time is up, and says what was answered last', async (t) => {
    const { url } = await serve(t, (request, response) => {
      if (request.url !== '/silent') response.writeHead(500).end('no such table');
    });
    const failing = await errorOf(post(url, 500));
    assert.match(failing.message, /answered 500 \(no such table\).* no success within 500 ms$/);
    const silent = await errorOf(post(`${url}/silent`, 100));
    assert.match(silent.message, /no answer, and no success within 100 ms$/);
    const gone = await errorOf(post(`http://u:hunter2@127.0.0.1:${await freePort()}`, 500));
    assert.match(gone.message, /connection refused/);
    assert.doesNotMatch(gone.message, /hunter2/);
    assert.equal((await errorOf(post('unix:/run/app.sock'))).code, 'notify-failed');
  });

  it('ends with the reason when it is aborted', async (t) => {
    const controller = new AbortController();
    const reason = new Error('shutting down');
    const { url } = await serve(t, () => controller.abort(reason));
    await assert.rejects(
      notify({ http: { url, timeoutMs: 20_000 } }, controller.signal),
      (error) => error === reason,
    );
  });
});

describe('telling the application by a signal', () => {
  it('sends it to the process that the pid file names', async (t) => {
    const text = `process.on('SIGHUP', () => { console.log('reloaded'); process.exit(); });
      setInterval(() => {}, 1000); console.log('up');`;
    const child = spawn(process.execPath, ['-e', text], { stdio: ['ignore', 'pipe', 'inherit'] });
    onEnd(t, () => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const pidFile = join(temporaryDirectory(t), 'app.pid');
    writeFileSync(pidFile, `${child.pid}\n`);
    const told = once(child.stdout, 'data');
    assert.deepEqual(await notify({ signal: { pidFile, signal: 'SIGHUP' } }), [
      { kind: 'signal', detail: `sent SIGHUP to process ${child.pid}` },
    ]);
    assert.equal(String((await told)[0]), 'reloaded\n');
  });

  it('says what is wrong with the pid file, and signals nobody', async (t) => {
    const ended = spawn('true');
    await once(ended, 'exit');
    const directory = temporaryDirectory(t);
    const pidFile = join(directory, 'app.pid');
    for (const [content, expected] of [
      ['', /holds "", expected a process id/],
      ['nginx', /holds "nginx", expected a process id/],
      ['12 13', /expected a process id/],
      ['1e3', /expected a process id/],
      ['9'.repeat(1000), /expected a process id/],
      ['0', /holds "0", expected the application's process id, above 1/],
      ['1\n', /holds "1", expected the application's process id, above 1/],
      ['-1', /holds "-1", expected the application's/],
      [`-${process.pid}`, /expected the application's process id, above 1/],
      [`${process.pid}`, /which is the reconciler itself/],
      [`0${process.pid}`, /which is the reconciler itself/],
      [`${ended.pid}`, /and there is no such process/],
      ['9999999999', /holds 9999999999/],
    ] as const) {
      writeFileSync(pidFile, content);
      const error = await errorOf(notify({ signal: { pidFile, signal: 'SIGKILL' } }));
      assert.equal(error.code, 'notify-failed');
      assert.equal(error.details?.['kind'], 'signal');
      assert.match(error.message, expected, JSON.stringify(content));
    }
    const absent = { pidFile: join(directory, 'absent'), signal: 'SIGHUP' } as const;
    assert.match((await errorOf(notify({ signal: absent }))).message, /absent does not exist$/);
    const folder = { pidFile: directory, signal: 'SIGHUP' } as const;
    assert.match((await errorOf(notify({ signal: folder }))).message, /cannot be read: no file$/);
  });

  it('does not wait for a named pipe', async (t) => {
    const pidFile = join(temporaryDirectory(t), 'app.pid');
    await once(spawn('sh', ['-c', 'mkfifo "$0"', pidFile]), 'exit');
    const error = await errorOf(notify({ signal: { pidFile, signal: 'SIGHUP' } }));
    assert.match(error.message, /cannot be read: no file$/);
  });
});

describe('telling the application by a command', () => {
  it('gives it the payload on standard input and the facts in the environment', async (t) => {
    const out = join(temporaryDirectory(t), 'out');
    const file = executable(
      t,
      `cat > ${out}; env | grep ^RINGLOCK_ | sort >> ${out}; echo "$@" >> ${out}`,
    );
    const [done] = await notify({ command: [file, 'a b', '$HOME', ';exit 1'] });
    assert.equal(done?.kind, 'command');
    assert.match(done?.detail ?? '', /reload ended well after/);
    const [json, ...lines] = readFileSync(out, 'utf8').trimEnd().split('\n');
    assert.deepEqual(JSON.parse(json ?? ''), payload);
    assert.deepEqual(lines, [
      `RINGLOCK_COMMIT=${payload.commit}`,
      'RINGLOCK_GENERATION=42',
      `RINGLOCK_LOCK_DIGEST=${payload.lockDigest}`,
      `RINGLOCK_OPERATION_ID=${payload.operationId}`,
      'RINGLOCK_PREVIOUS_GENERATION=41',
      `RINGLOCK_REPLICA=${payload.replica}`,
      'RINGLOCK_RING=edge',
      'a b $HOME ;exit 1',
    ]);
  });

  it('gives it no credential, and no variable for a fact there is not', async (t) => {
    const out = join(temporaryDirectory(t), 'out');
    await notify(
      { command: [executable(t, `env > ${out}`)] },
      new AbortController().signal,
      { PATH: process.env['PATH'], DATABASE_URL: 'hunter2', RINGLOCK_GIT_TOKEN: 'hunter2' },
      { ...payload, commit: null, previousGeneration: null },
    );
    const seen = readFileSync(out, 'utf8');
    assert.match(seen, /^RINGLOCK_GENERATION=42$/m);
    assert.doesNotMatch(seen, /hunter2|DATABASE|TOKEN|COMMIT|PREVIOUS/);
  });

  it('says how it failed', async (t) => {
    const failed = async (command: readonly string[], timeoutMs = 20_000) =>
      (await errorOf(notify({ command, timeoutMs }))).message;
    assert.match(
      await failed([executable(t, 'echo no route; exit 3')]),
      /the notify command failed: .* ended with exit code 3: no route$/,
    );
    assert.match(await failed([executable(t, 'kill -KILL $$')]), /ended by SIGKILL$/);
    assert.match(
      await failed([executable(t, 'echo waiting; sleep 60')], 1500),
      /did not end within 1.5 s: waiting$/,
    );
    assert.match(await failed(['no-such-command']), /no-such-command cannot be started: ENOENT$/);
    assert.match(await failed(['reload app']), /cannot be started: ENOENT$/);
    assert.match(await failed([]), /it is empty/);
  });
});

describe('telling the application in several ways', () => {
  it('does them all, in order', async (t) => {
    const { url } = await serve(t, (_, response) => response.end());
    const done = await notify({
      command: [executable(t, 'true')],
      http: { url, timeoutMs: 20_000 },
    });
    assert.deepEqual(
      done.map(({ kind }) => kind),
      ['http', 'command'],
    );
    assert.deepEqual(await notify({}), []);
  });

  it('tries all of them, and fails with the first failure', async (t) => {
    const { url } = await serve(t, (_, response) => response.writeHead(400).end());
    const pidFile = join(temporaryDirectory(t), 'absent');
    const error = await errorOf(
      notify({
        http: { url, timeoutMs: 20_000 },
        signal: { pidFile, signal: 'SIGHUP' },
        command: [executable(t, 'true')],
      }),
    );
    assert.equal(error.code, 'notify-failed');
    assert.match(error.message, /cannot notify by http: .* answered 400$/);
    const { kind, others, done } = error.details as {
      kind: string;
      others: string[];
      done: { kind: string }[];
    };
    assert.equal(kind, 'http');
    assert.match(others.join(), /cannot notify by SIGHUP: .*absent does not exist/);
    assert.deepEqual(
      done.map((one) => one.kind),
      ['command'],
    );
  });
});
