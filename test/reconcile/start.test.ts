import assert from 'node:assert/strict';
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runCli } from '../support/cli.ts';
import {
  deploy,
  filesLockedAt,
  filesServed,
  reconcileOnce,
  release,
  statusIfAny,
} from '../support/deploy.ts';
import { createServedRing } from '../support/served-ring.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

describe('the start of a reconciler', { concurrency: 2 }, () => {
  it('is tried again with --init until something serves', async (t) => {
    const { platform, ring } = await createServedRing(t);
    const bare = platform.git('remote', 'get-url', 'origin');
    renameSync(bare, `${bare}.away`);
    const args = ['--repo', bare, '--root', ring.root, '--ring', 'canary'];
    const often = ['--init-interval', '50ms', '--max-failures', '1000000'];
    const ended = runCli(ring.root, ['reconcile', '--init', ...args, ...often]);
    await waitUntil('it has failed', () => statusIfAny(ring.root)?.last_error?.code);
    renameSync(`${bare}.away`, bare);
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(filesServed(ring.root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('ends with 3 after --max-failures when nothing was ever served, and never once it was', async (t) => {
    const { platform, server, ring } = await createServedRing(t);
    const often = ['--interval', '20ms', '--init-interval', '20ms', '--max-failures', '3'];
    server.setFault({ kind: 'status', status: 500 });
    const starting = startWatching(t, ring, often);
    await waitUntil('it has given up', () => starting.process.exitCode !== null);
    assert.equal(starting.process.exitCode, 3);
    assert.match(starting.log(), /nothing serves after 3 attempts, .*answers with 500/);
    server.setFault(undefined);
    assert.equal((await reconcileOnce(ring)).code, 0);
    server.setFault({ kind: 'status', status: 500 });
    server.requests.length = 0;
    const served = startWatching(t, ring, often);
    await waitUntil('it has failed more often', () => server.requests.length > 4);
    assert.equal(await served.end('SIGTERM'), 0);
    assert.deepEqual(filesServed(ring.root), filesLockedAt(platform, 'HEAD', 'canary'));
  });

  it('comes back when the server asks it to, unless a person asks before', async (t) => {
    const { server, ring } = await createServedRing(t);
    server.setFault({ kind: 'status', status: 429, headers: { 'retry-after': '1800' } });
    const before = Date.now();
    const watching = startWatching(t, ring, ['--interval', '20ms', '--init-interval', '20ms']);
    const nextAt = await waitUntil(
      'it says when',
      () => statusIfAny(ring.root)?.next_at ?? undefined,
    );
    assert.ok(Date.parse(nextAt) >= before + 1_800_000, nextAt);
    server.setFault(undefined);
    watching.process.kill('SIGHUP');
    await waitUntil('it is converged', () => statusIfAny(ring.root)?.state === 'converged');
    assert.equal(statusIfAny(ring.root)?.next_at, null);
  });
});

describe('an attempt', { concurrency: 2 }, () => {
  it('is given up after --timeout, says so, mends the disk beside it, and the next one goes on', async (t) => {
    const { platform, server, ring } = await createServedRing(t);
    assert.equal((await reconcileOnce(ring)).code, 0);
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const damaged = join(ring.root, 'current/Products/src/index.mjs');
    chmodSync(damaged, 0o644);
    writeFileSync(damaged, 'changed\n');
    server.setFault({ kind: 'hang', after: 20 }, { on: 'fetch' });
    const waiting = ['--idle-timeout', '1h', '--timeout', '3s'];
    const watching = startWatching(t, ring, ['--interval', '50ms', ...waiting]);
    const isMended = () => filesServed(ring.root)['Products/src/index.mjs'] !== 'changed\n';
    const status = await waitUntil('it says so', () => {
      const status = statusIfAny(ring.root);
      const isGivenUp = status?.last_error?.code === 'attempt-timeout';
      return isGivenUp && status.state === 'unreachable' && isMended() && status;
    });
    assert.match(status.last_error?.message ?? '', /longer than 3 s/);
    server.setFault(undefined);
    await waitUntil('it is converged', () => statusIfAny(ring.root)?.state === 'converged');
    assert.deepEqual(filesServed(ring.root), filesLockedAt(platform, 'HEAD', 'canary'));
    assert.equal(await watching.end('SIGTERM'), 0);
  });

  it('ends at SIGTERM while a server keeps it waiting, a second SIGTERM changing nothing', async (t) => {
    const { server, ring } = await createServedRing(t);
    server.setFault({ kind: 'hang', after: 20 }, { on: 'fetch' });
    const watching = startWatching(t, ring, ['--idle-timeout', '1h']);
    await waitUntil('it waits', () => server.requests.some(({ kind }) => kind === 'fetch'));
    watching.process.kill('SIGTERM');
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
  });
});

describe('a watch that nobody listens to', () => {
  it('goes on when standard output and error are closed by their reader, without standard input', async (t) => {
    const { platform, ring } = await createServedRing(t);
    const watching = startWatching(t, ring, ['--interval', '50ms', '--json']);
    const converged = () => statusIfAny(ring.root)?.converged_commit;
    await waitUntil('it is converged', converged);
    watching.process.stderr?.destroy();
    for (const version of ['1.0.1', '1.0.2']) {
      release(platform, 'Orders', version);
      const commit = deploy(platform, `Orders ${version}`);
      await waitUntil('the commit is converged', () => converged() === commit);
    }
    rmSync(join(ring.root, 'status.json'));
    assert.equal(await watching.end('SIGTERM'), 0);
  });
});
