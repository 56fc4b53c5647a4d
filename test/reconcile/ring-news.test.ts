import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { deploy, readStatusFile, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { type Replica, startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

/** Replicas, each with flags of its own, that have converged. */
async function createReplicas(
  t: TestContext,
  flags: readonly (readonly string[])[],
  environment: NodeJS.ProcessEnv = {},
) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const databaseUrl = await createDatabase();
  const start = (more: readonly string[], index: number) =>
    startReplica(t, index, { repo, databaseUrl, more, environment, withHealth: false });
  const replicas = await Promise.all(flags.map(start));
  await converged(replicas, platform.git('rev-parse', 'HEAD'));
  return { platform, databaseUrl, replicas };
}

function converged(replicas: readonly Replica[], commit: string): Promise<unknown> {
  return waitUntil(
    `all converged to ${commit}`,
    () => replicas.every(({ root }) => convergedCommit(root) === commit),
    60_000,
  );
}

function convergedCommit(root: string): string | null | undefined {
  try {
    return readStatusFile(root).converged_commit;
  } catch {
    return undefined;
  }
}

function listeners(url: string): Promise<unknown[]> {
  return query(
    url,
    `select from pg_stat_activity where datname = current_database() and query = 'listen ringlock_news'`,
  );
}

const slowly = ['--interval', '1h'];

describe('news in a ring', { concurrency: 2 }, () => {
  it('reaches all replicas when one is told to look', async (t) => {
    const { platform, databaseUrl, replicas } = await createReplicas(t, [slowly, slowly, slowly]);
    await waitUntil('all listen', async () => (await listeners(databaseUrl)).length === 3);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    replicas[1]?.watching.process.kill('SIGHUP');
    await converged(replicas, commit);
  });

  it('comes with a webhook at one replica, long before any of them would look', async (t) => {
    const secretFile = join(temporaryDirectory(t, 'secret'), 'webhook');
    writeFileSync(secretFile, 'the old one\n');
    const port = await freePort();
    const listening = [...slowly, '--listen', `127.0.0.1:${port}`, '--log-format', 'json'];
    const { platform, databaseUrl, replicas } = await createReplicas(t, [listening, slowly], {
      RINGLOCK_WEBHOOK_SECRET_FILE: secretFile,
    });
    await waitUntil('both listen', async () => (await listeners(databaseUrl)).length === 2);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    // Replaced while it runs: both are right meanwhile.
    writeFileSync(secretFile, 'the new one\nthe old one\n');
    const post = (token: string, ref: string) =>
      fetch(`http://127.0.0.1:${port}/webhook`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-gitlab-token': token },
        body: JSON.stringify({ ref }),
      });
    assert.equal((await post('a guess', 'refs/heads/main')).status, 401);
    assert.equal((await post('the old one', 'refs/heads/other')).status, 202);
    assert.equal((await post('the new one', 'refs/heads/main')).status, 202);
    await converged(replicas, commit);
    const lines = replicas[0]?.watching.log().trim().split('\n') ?? [];
    const heard = lines.map((line) => JSON.parse(line)).filter(({ sender }) => sender === 'gitlab');
    assert.equal(heard.length, 1, 'the push to main alone made it look');
    assert.ok(!lines.join().includes('the new one'), 'the secret is in no log');
  });

  it('does not reach one that only polls, which finds the commit by itself', async (t) => {
    const polling = ['--interval', '300ms', '--poll-only'];
    const { platform, databaseUrl, replicas } = await createReplicas(t, [slowly, polling]);
    await waitUntil('one listens', async () => (await listeners(databaseUrl)).length === 1);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    await converged(replicas, commit);
    assert.equal((await listeners(databaseUrl)).length, 1);
  });
});
