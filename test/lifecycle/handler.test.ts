import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { HandlerCall } from '../../src/lifecycle/handler.ts';
import { errorOf } from '../support/error-of.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { callOf, isAlive, moduleWith, type RunOptions, run } from './support.ts';

const runScript = (
  t: TestContext,
  text: string,
  more: Partial<HandlerCall> = {},
  options?: RunOptions,
) => run(callOf(moduleWith(t, 'lifecycle/run.mjs', text), 'lifecycle/run.mjs', more), options);

const runShell = (t: TestContext, text: string, options?: RunOptions) =>
  run(callOf(moduleWith(t, 'run.sh', `#!/bin/sh\n${text}\n`), 'run.sh'), options);

describe('a handler that is a file', () => {
  it('gets the context as JSON on standard input, in the directory of its code', async (t) => {
    const text = `import { readFileSync } from 'node:fs';
      console.log(JSON.stringify([process.cwd(), JSON.parse(readFileSync(0, 'utf8'))]));`;
    const directory = moduleWith(t, 'lifecycle/run.mjs', text);
    const writable = temporaryDirectory(t);
    const { output, durationMs } = await run(
      callOf(directory, 'lifecycle/run.mjs', {
        event: 'onEnable',
        tenant: 'acme',
        fromVersion: null,
        writableDirectory: writable,
      }),
    );
    assert.deepEqual(JSON.parse(output), [
      directory,
      {
        event: 'onEnable',
        ring: 'edge',
        tenant: 'acme',
        fromVersion: null,
        toVersion: '1.1.0',
        sourcePath: directory,
        manifest: { name: 'Orders', alias: 'orders', version: '1.1.0' },
        operationId: '0192f0c1-0000-7000-8000-000000000001',
        writableDirectory: writable,
      },
    ]);
    assert.ok(durationMs > 0);
  });

  it('leaves out of the context what there is not', async (t) => {
    const text = `process.stdin.pipe(process.stdout);`;
    const { output } = await runScript(t, text, { sourcePath: null, toVersion: null });
    const context = JSON.parse(output) as Record<string, unknown>;
    assert.equal('tenant' in context, false);
    assert.equal('writableDirectory' in context, false);
    assert.equal(context['sourcePath'], null);
  });

  it('is run by the sample modules as they are', async () => {
    for (const [name, run_] of [
      ['Orders', 'lifecycle/on-upgrade.mjs'],
      ['Communications', 'lifecycle/check-templates.mjs'],
    ] as const) {
      const directory = resolve('modules', name);
      const manifest = JSON.parse(readFileSync(join(directory, 'module.json'), 'utf8'));
      const { output } = await run(callOf(directory, run_, { alias: manifest.alias, manifest }));
      assert.match(output, /^\{.*\}\n$/);
    }
  });

  it('may be any executable: a shebang says what runs it', async (t) => {
    const { output } = await runShell(t, 'read line; echo "$line" | cut -c1-20; echo "$0"');
    assert.match(output, /^\{"event":"onUpgrade"\n\/.*\/run\.sh\n$/);
  });

  it('sees no variable but the documented ones', async (t) => {
    const secrets = {
      DATABASE_URL: 'postgres://u:hunter2@db/app',
      RINGLOCK_GIT_TOKEN: 'hunter2',
      RINGLOCK_DATABASE_URL: 'hunter2',
      MODULE_REGISTRY_TOKEN: 'hunter2',
      MODULE_REGISTRY_TOKEN_FILE: '/run/hunter2',
      NODE_OPTIONS: '--title=hunter2',
      LD_PRELOAD: '',
      AWS_SECRET_ACCESS_KEY: 'hunter2',
      LCX: 'hunter2',
      XPATH: 'hunter2',
    };
    const known = { LANG: 'C.UTF-8', LC_ALL: 'C', TZ: 'UTC', NODE_ENV: 'production' };
    const environment = { ...secrets, ...known, PATH: process.env['PATH'] };
    const print = 'console.log(JSON.stringify(process.env));';
    const { output } = await runScript(t, print, { tenant: 'acme' }, { environment });
    const { HOME, TMPDIR, ...seen } = JSON.parse(output) as Record<string, string>;
    assert.deepEqual(seen, {
      ...known,
      PATH: process.env['PATH'],
      RINGLOCK_EVENT: 'onUpgrade',
      RINGLOCK_RING: 'edge',
      RINGLOCK_OPERATION_ID: '0192f0c1-0000-7000-8000-000000000001',
      RINGLOCK_TENANT: 'acme',
    });
    assert.equal(HOME, TMPDIR);
    assert.equal(existsSync(String(TMPDIR)), false, 'its temporary directory is gone after it');
  });

  it('has the writable directory as its home, and a temporary one besides', async (t) => {
    const writable = temporaryDirectory(t);
    await runShell(t, 'true');
    const directory = moduleWith(
      t,
      'run.sh',
      '#!/bin/sh\necho warm > "$HOME/a"; echo > "$TMPDIR/b"',
    );
    await run(callOf(directory, 'run.sh', { writableDirectory: writable }));
    assert.equal(readFileSync(join(writable, 'a'), 'utf8'), 'warm\n');
  });

  it('need not read its input, however long', async (t) => {
    const manifest = { alias: 'orders', notes: 'x'.repeat(4 * 1024 * 1024) };
    const { output } = await runScript(t, 'console.log("done"); process.exit(0);', { manifest });
    assert.equal(output, 'done\n');
    const sleeper = moduleWith(t, 'run.sh', '#!/bin/sh\nsleep 30 <&0 & echo left');
    assert.equal((await run(callOf(sleeper, 'run.sh', { manifest }))).output, 'left\n');
  });

  it('fails with its exit code and its last words', async (t) => {
    const error = await errorOf(
      runScript(
        t,
        'console.log("checking"); console.error("3 orders lack a price"); process.exit(7);',
      ),
    );
    assert.equal(error.code, 'handler-failed');
    assert.equal(
      error.message,
      'onUpgrade of orders (lifecycle/run.mjs) ended with exit code 7: checking | 3 orders lack a price',
    );
    const { durationMs, ...details } = error.details ?? {};
    assert.equal(typeof durationMs, 'number');
    assert.deepEqual(details, {
      module: 'orders',
      event: 'onUpgrade',
      handler: 'lifecycle/run.mjs',
      exitCode: 7,
      signal: null,
      output: 'checking\n3 orders lack a price\n',
    });
  });

  it('fails with the error it throws, without its stack in the message', async (t) => {
    const error = await errorOf(
      runScript(t, 'throw new Error("no price list");', { tenant: 'acme' }),
    );
    assert.match(error.message, /of orders of tenant acme .* exit code 1: .*Error: no price list$/);
    assert.equal(error.details?.['tenant'], 'acme');
  });

  it('fails with the signal that ended it', async (t) => {
    const error = await errorOf(runShell(t, 'kill -SEGV $$'));
    assert.equal(error.code, 'handler-failed');
    assert.match(error.message, /was ended by SIGSEGV$/);
    assert.equal(error.details?.['signal'], 'SIGSEGV');
  });

  it('fails when its interpreter is not in the image', async (t) => {
    const directory = moduleWith(t, 'run', '#!/usr/bin/no-such-interpreter\n');
    const error = await errorOf(run(callOf(directory, 'run')));
    assert.equal(error.code, 'handler-failed');
    assert.match(String(error.hint), /interpreter/);
  });

  it('fails where there is no writable temporary directory', async (t) => {
    const environment = { TMPDIR: join(temporaryDirectory(t), 'absent') };
    const error = await errorOf(runScript(t, '', {}, { environment }));
    assert.equal(error.code, 'handler-failed');
    assert.match(error.message, /absent is not writable/);
  });
});

describe('a handler that does not end', () => {
  it('is ended at the time limit, and its own limit wins', async (t) => {
    const handler = { run: 'run.mjs', once: 'ring', timeout: '300ms' } as const;
    const directory = moduleWith(
      t,
      'run.mjs',
      'console.log("begun"); setInterval(() => {}, 1000);',
    );
    const error = await errorOf(run(callOf(directory, handler), { limits: { timeoutMs: 60_000 } }));
    assert.equal(error.code, 'handler-timeout');
    assert.match(error.message, /did not end within 300 ms/);
    assert.equal(error.details?.['timeoutMs'], 300);
  });

  it('may have a limit longer than a timer can be', async (t) => {
    const handler = { run: 'run.mjs', once: 'ring', timeout: '60d' } as const;
    const directory = moduleWith(t, 'run.mjs', 'console.log("done");');
    assert.equal((await run(callOf(directory, handler))).output, 'done\n');
  });

  it('is killed when it ignores SIGTERM, with all it has started', async (t) => {
    const pids = join(temporaryDirectory(t), 'pids');
    const child = `trap '' TERM; while :; do sleep 0.05; done`;
    const text = `trap '' TERM; sh -c "${child}" & echo $! > ${pids}; echo $$ >> ${pids}; ${child}`;
    const limits = { timeoutMs: 2000, killGraceMs: 100 };
    const error = await errorOf(runShell(t, text, { limits }));
    assert.equal(error.code, 'handler-timeout');
    assert.equal(error.details?.['signal'], 'SIGKILL');
    await allGone(pids, 2);
  });

  it('may end cleanly on SIGTERM; that is a timeout all the same', async (t) => {
    const text = `trap 'echo cleaned; exit 0' TERM; echo begun; while :; do sleep 0.05; done`;
    const error = await errorOf(runShell(t, text, { limits: { timeoutMs: 2000 } }));
    assert.equal(error.code, 'handler-timeout');
    assert.match(String(error.details?.['output']), /^begun\n.*cleaned\n$/s);
  });

  it('ends with its whole group when it is aborted, and the reason is thrown', async (t) => {
    const pids = join(temporaryDirectory(t), 'pids');
    const controller = new AbortController();
    const running = runShell(t, `sleep 60 & echo $! > ${pids}; echo $$ >> ${pids}; wait`, {
      signal: controller.signal,
    });
    await waitUntil('it runs', () => existsSync(pids) && pidsOf(pids).length === 2);
    const reason = new Error('superseded');
    controller.abort(reason);
    await assert.rejects(running, (error) => error === reason);
    await allGone(pids, 2);
  });

  it('is not started when it is already aborted', async (t) => {
    const mark = join(temporaryDirectory(t), 'mark');
    const reason = new Error('superseded');
    await assert.rejects(
      runShell(t, `touch ${mark}`, { signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
    assert.equal(existsSync(mark), false);
  });

  it('does not hold us with grandchildren that keep its output open, and leaves none', async (t) => {
    const pids = join(temporaryDirectory(t), 'pids');
    const text = `for i in 1 2 3 4 5 6 7 8; do sleep 60 & echo $! >> ${pids}; done; echo done`;
    const { output } = await runShell(t, text);
    assert.equal(output, 'done\n');
    await allGone(pids, 8);
  });

  it('does not hold us with a grandchild that left its group', async (t) => {
    const text = `import { spawn } from 'node:child_process';
      const { pid } = spawn('sleep', ['20'], { detached: true, stdio: 'inherit' });
      console.log(pid); process.exit(0);`;
    const { output } = await runScript(t, text);
    process.kill(Number(output), 'SIGKILL');
  });
});

async function allGone(file: string, count: number): Promise<void> {
  assert.equal(pidsOf(file).length, count);
  await waitUntil('all processes are gone', () => pidsOf(file).every((pid) => !isRunning(pid)));
}

const pidsOf = (file: string): number[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);

/** A zombie that nobody has reaped yet does not run. */
function isRunning(pid: number): boolean {
  if (!isAlive(pid)) return false;
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('what a handler may name', () => {
  it('is no path out of the module', async (t) => {
    const directory = moduleWith(t, 'run.mjs', 'console.log("ran")');
    for (const path of ['../x', 'a/../../x', 'a/..', '/bin/true', '..', '', 'a\\b', 'run.mjs\0x']) {
      const error = await errorOf(run(callOf(directory, path)));
      assert.equal(error.code, 'handler-refused', path);
      assert.match(error.message, /is no path inside the module/);
    }
    assert.equal((await run(callOf(directory, './run.mjs'))).output, 'ran\n');
  });

  it('is no link that leads out of the module', async (t) => {
    const outside = moduleWith(t, 'run.mjs', 'console.log("ran")');
    const directory = moduleWith(t, 'other.mjs', '');
    symlinkSync(join(outside, 'run.mjs'), join(directory, 'file.mjs'));
    symlinkSync(outside, join(directory, 'lifecycle'));
    for (const path of ['file.mjs', 'lifecycle/run.mjs']) {
      const error = await errorOf(run(callOf(directory, path)));
      assert.equal(error.code, 'handler-refused');
      assert.match(error.message, /leads out of the module/);
    }
  });

  it('is no link into a directory whose name begins like the module', async (t) => {
    const parent = temporaryDirectory(t);
    for (const name of ['1.0.0', '1.0.0-rc']) mkdirSync(join(parent, name));
    writeFileSync(join(parent, '1.0.0-rc/run.mjs'), '');
    symlinkSync('../1.0.0-rc/run.mjs', join(parent, '1.0.0/run.mjs'));
    const error = await errorOf(run(callOf(join(parent, '1.0.0'), 'run.mjs')));
    assert.equal(error.code, 'handler-refused');
  });

  it('may be reached by a link to the version: a generation is one', async (t) => {
    const directory = moduleWith(t, 'run.mjs', 'console.log(process.cwd())');
    const link = join(temporaryDirectory(t), 'Orders');
    symlinkSync(directory, link);
    assert.equal((await run(callOf(link, 'run.mjs'))).output, `${directory}\n`);
  });

  it('has to be there, a file, and executable unless it is JavaScript', async (t) => {
    const directory = moduleWith(t, 'lifecycle/run.sh', '#!/bin/sh\n', 0o644);
    const missing = await errorOf(run(callOf(directory, 'lifecycle/on-upgrade.mjs')));
    assert.equal(missing.code, 'handler-missing');
    assert.match(missing.message, /lifecycle\/on-upgrade\.mjs, which is not in/);
    assert.equal((await errorOf(run(callOf(directory, 'lifecycle')))).code, 'handler-refused');
    const plain = await errorOf(run(callOf(directory, 'lifecycle/run.sh')));
    assert.equal(plain.code, 'handler-refused');
    assert.match(String(plain.hint), /chmod=\+x lifecycle\/run\.sh/);
  });
});
