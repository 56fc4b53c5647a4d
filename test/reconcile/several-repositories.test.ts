import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { deploy, filesServed, readStatusFile, release, statusIfAny } from '../support/deploy.ts';
import { serveGit } from '../support/git-server.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

after(stopOwnPostgres);

async function createServedPlatform(t: TestContext) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const server = await serveGit(t, dirname(repo));
  return { platform, repo, server, url: `${server.url}/${basename(repo)}` };
}

/** Waits for a status, and shows it with the log when it is in vain. */
function untilStatus(
  root: string,
  tail: () => string,
  what: string,
  is: (status: ReturnType<typeof readStatusFile>) => boolean,
) {
  const seen = () => {
    const status = statusIfAny(root);
    return status !== undefined && is(status) ? status : undefined;
  };
  return waitUntil(what, seen, 60_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(statusIfAny(root))}\n${tail()}`);
  });
}

function passwordOf(authorization: string): string {
  const text = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString();
  return text.slice(text.indexOf(':') + 1);
}

describe('a sidecar with several repositories', () => {
  it('goes on by the next, comes back to the first, and is led back by neither', async (t) => {
    const { platform, server: first, url: firstUrl } = await createServedPlatform(t);
    const mirror = temporaryDirectory(t, 'mirror.git');
    const env = gitEnvironment;
    const sync = () => platform.git('push', '-q', '--no-verify', '--force', mirror, 'HEAD:main');
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', mirror], { env });
    sync();
    const second = await serveGit(t, dirname(mirror));
    const secondUrl = `${second.url}/${basename(mirror)}`;
    first.setFault({ kind: 'status', status: 500 });
    const root = temporaryDirectory(t, 'root');
    const withUser = firstUrl.replace('://', '://pod:word-in-first-url@');
    const watching = startWatching(t, { repo: withUser, root }, [
      ...['--repo', secondUrl, '--interval', '100ms'],
    ]);
    const until = (what: string, is: Parameters<typeof untilStatus>[3]) =>
      untilStatus(root, watching.tail, what, is);

    const one = platform.git('rev-parse', 'HEAD');
    const elsewhere = await until('the second answers', (s) => s.converged_commit === one);
    assert.equal(elsewhere.repository, firstUrl);
    assert.equal(elsewhere.answered_by, secondUrl);
    first.setFault(undefined);
    await until('the first answers again', ({ answered_by }) => answered_by === firstUrl);

    // The mirror is preferred no more than it is right: it has not heard of the newer commit.
    release(platform, 'Orders', '1.0.1');
    const two = deploy(platform, 'Orders 1.0.1');
    await until('the new commit is deployed', (s) => s.converged_commit === two);
    const served = filesServed(root);
    first.setFault({ kind: 'status', status: 500 });
    const stuck = await until('all lag', (s) => s.last_error?.code === 'remote-behind');
    assert.equal(stuck.state, 'unreachable');
    assert.equal(stuck.converged_commit, two);
    assert.match(stuck.last_error?.message ?? '', new RegExp(`${secondUrl} at ${one}.*500`));
    assert.deepEqual(filesServed(root), served);
    sync();
    await until('the mirror has caught up', (s) => s.state === 'converged');
    assert.match(watching.log(), new RegExp(`${secondUrl} is behind: main is at ${one}`));
    assert.doesNotMatch(watching.log() + JSON.stringify(stuck), /word-in-first-url/);
    assert.equal(await watching.end('SIGTERM'), 0);
  });

  it('gives each server its own token, and no other', async (t) => {
    const { repo, server: first, url } = await createServedPlatform(t);
    const second = await serveGit(t, dirname(repo));
    first.setFault({ kind: 'status', status: 500 });
    const environment = { RINGLOCK_GIT_TOKEN: 'token-of-first', RINGLOCK_GIT_TOKEN_2: 'its-own' };
    const repositories = [url, `${second.url}/${basename(repo)}`];
    const root = temporaryDirectory(t, 'root');
    assert.equal((await passInProcess({ repo, root }, { repositories, environment })).code, 0);
    const shown = (server: typeof first) =>
      new Set(server.requests.map(({ authorization = '' }) => passwordOf(authorization)));
    assert.deepEqual([...shown(first)], ['token-of-first']);
    assert.deepEqual([...shown(second)], ['its-own']);

    const withoutOwn = { repositories, environment: { RINGLOCK_GIT_TOKEN: 'token-of-first' } };
    const before = second.requests.length;
    const other = temporaryDirectory(t, 'other');
    assert.equal((await passInProcess({ repo, root: other }, withoutOwn)).code, 0);
    const later = second.requests.slice(before).map(({ authorization }) => authorization);
    assert.deepEqual([...new Set(later)], [undefined]);
  });

  it('refuses a branch that was rewritten, whichever URL shows it', async (t) => {
    const { platform, repo, url } = await createServedPlatform(t);
    release(platform, 'Orders', '1.0.1');
    const tip = deploy(platform, 'Orders 1.0.1');
    const root = temporaryDirectory(t, 'root');
    const watching = startWatching(t, { repo: url, root }, ['--repo', repo, '--interval', '100ms']);
    const until = (what: string, is: Parameters<typeof untilStatus>[3]) =>
      untilStatus(root, watching.tail, what, is);
    await until('it has converged', (s) => s.converged_commit === tip);
    platform.git('reset', '-q', '--hard', 'HEAD~1');
    const rewritten = platform.commit('Another history', { file: 'x\n' });
    platform.git('push', '-q', '--no-verify', '--force', 'origin', 'HEAD');
    const { last_error } = await until('it is refused', ({ state }) => state === 'refused');
    assert.equal(last_error?.code, 'branch-rewritten');
    assert.ok(last_error.message.includes(tip) && last_error.message.includes(rewritten));
    assert.doesNotMatch(watching.log(), /is behind/);
  });
});

describe('secrets that are rotated below a running sidecar', () => {
  it('takes the new token and the new database password without a restart', async (t) => {
    const { platform, server, url } = await createServedPlatform(t);
    const databaseUrl = new URL(await createDatabase());
    const role = `r_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
    await query(databaseUrl.href, `create role ${role} login superuser password 'first-pg-word'`);
    const roleUrl = (password: string) => {
      const own = new URL(databaseUrl);
      own.username = role;
      own.password = password;
      return own.href;
    };
    const directory = temporaryDirectory(t, 'secrets');
    const files = { token: join(directory, 'token'), database: join(directory, 'database') };
    const rotate = (word: string) => {
      writeFileSync(files.token, `${word}-git-word\n`);
      writeFileSync(files.database, `${roleUrl(`${word}-pg-word`)}\n`);
    };
    rotate('first');
    server.setOptions({ auth: { user: 'oauth2', password: 'first-git-word' } });
    const root = temporaryDirectory(t, 'root');
    const environment = {
      RINGLOCK_GIT_TOKEN_FILE: files.token,
      DATABASE_URL_FILE: files.database,
    };
    const more = ['--interval', '100ms', '--poll-only', '--database-grace', '1ms'];
    const watching = startWatching(t, { repo: url, root }, more, environment);
    const until = (what: string, is: Parameters<typeof untilStatus>[3]) =>
      untilStatus(root, watching.tail, what, is);
    const start = platform.git('rev-parse', 'HEAD');
    await until('it is reported', (s) => s.converged_commit === start && s.outbox_pending === 0);

    // The servers are first, so that the old words are refused for a while.
    server.setOptions({ auth: { user: 'oauth2', password: 'second-git-word' } });
    await query(databaseUrl.href, `alter role ${role} password 'second-pg-word'`);
    release(platform, 'Orders', '1.0.1');
    const next = deploy(platform, 'Orders 1.0.1');
    await until('it is refused', (s) => s.last_error?.code === 'remote-unauthorized');
    rotate('second');
    await until('it goes on', (s) => s.converged_commit === next);
    const sql = `select 1 from audit_events where to_version = '1.0.1' and action = 'upgrade'`;
    const isReported = async () => (await query(databaseUrl.href, sql)).length === 1;
    await waitUntil('the audit has gone on too', isReported, 60_000);
    assert.doesNotMatch(watching.log() + JSON.stringify(readStatusFile(root)), /(git|pg)-word/);
    assert.equal(await watching.end('SIGTERM'), 0);
  });
});
