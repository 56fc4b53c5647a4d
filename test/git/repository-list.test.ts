import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type ObjectDatabase, openObjectDatabase } from '../../src/git/object-database.ts';
import { openRemote } from '../../src/git/open-remote.ts';
import type { FollowedRepository } from '../../src/git/remote.ts';
import { repositoryList } from '../../src/git/repository-list.ts';
import { onEnd } from '../support/cleanup.ts';
import { errorOf } from '../support/error-of.ts';
import { type GitServer, serveGit } from '../support/git-server.ts';
import { createRepository, gitEnvironment, type Repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Mirrored {
  readonly repository: Repository;
  /** Commit ids, oldest first. */
  readonly commits: readonly string[];
  /** One server each, in order of preference. */
  readonly servers: readonly GitServer[];
  readonly urls: readonly string[];
  push(mirror: number, branch: string, commit: string): void;
  /** Sets a mirror's branch `main` to a commit, and prunes what is not reachable from it. */
  show(mirror: number, commit: string): void;
  /** A list on a disk of its own. */
  open(): Promise<Opened>;
}

interface Opened {
  readonly list: FollowedRepository;
  readonly database: ObjectDatabase;
  readonly said: string[];
  /** Lets time pass. */
  pass(ms: number): void;
}

async function createMirrored(t: TestContext, count = 2): Promise<Mirrored> {
  const repository = createRepository(t);
  const commits = [1, 2, 3, 4].map((n) =>
    repository.commit(`Number ${n}`, { 'modules/Orders/file': `${n}\n` }),
  );
  const directories = Array.from({ length: count }, (_, index) =>
    temporaryDirectory(t, `m${index}`),
  );
  const env = gitEnvironment;
  const bare = (mirror: number) => join(directories[mirror] ?? '', 'platform.git');
  const push = (mirror: number, branch: string, commit: string) => {
    repository.git('push', '-q', '--force', bare(mirror), `${commit}:refs/heads/${branch}`);
  };
  const show = (mirror: number, commit: string) => {
    push(mirror, 'main', commit);
    execFileSync('git', ['-C', bare(mirror), 'prune', '--expire=now'], { env });
  };
  for (const [mirror] of directories.entries()) {
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare(mirror)], { env });
    push(mirror, 'main', commits[3] ?? '');
  }
  const servers = await Promise.all(directories.map((directory) => serveGit(t, directory)));
  const urls = servers.map(({ url }) => `${url}/platform.git`);
  const open = async () => {
    const database = await openObjectDatabase(join(temporaryDirectory(t, 'root'), 'repo.git'));
    const said: string[] = [];
    let now = 0;
    const remotes = urls.map((url) => openRemote(url, database, { retries: 0 }));
    const list = repositoryList(remotes, database, {
      onChange: (level, message) => said.push(`${level} ${message}`),
      now: () => now,
    });
    onEnd(t, () => list.close());
    const pass = (ms: number) => {
      now += ms;
    };
    return { list, database, said, pass };
  };
  return { repository, commits, servers, urls, push, show, open };
}

const down = { kind: 'status', status: 500 } as const;

describe('a repository with several URLs', { concurrency: 2 }, () => {
  it('is asked by the first that answers, and by the preferred one again when it is well', async (t) => {
    const { commits, servers, urls, open } = await createMirrored(t);
    const tip = commits[3];
    const { list, said, pass } = await open();
    assert.deepEqual([list.url, list.urls, list.answering], [urls[0], urls, undefined]);
    assert.equal(await list.resolveBranch('main'), tip);
    assert.equal(list.answering, urls[0]);
    servers[0]?.setFault(down);
    for (let times = 0; times < 3; times++) assert.equal(await list.resolveBranch('main'), tip);
    assert.equal(list.answering, urls[1]);
    assert.equal(list.url, urls[0], 'its name changes with who answers');
    assert.deepEqual(said, [
      `info ${urls[0]} answers for the repository`,
      `warn ${urls[0]} answers with 500: no; the next repository is asked`,
      `info ${urls[1]} answers for the repository`,
    ]);
    // While it rests it is not asked; then it is.
    servers[0]?.setFault(undefined);
    const asked = servers[0]?.requests.length;
    await list.resolveBranch('main');
    assert.equal(servers[0]?.requests.length, asked);
    pass(2_000);
    assert.equal(await list.resolveBranch('main'), tip);
    assert.equal(list.answering, urls[0]);
  });

  it('says all that is wrong when none answers, and asks one that rests all the same', async (t) => {
    const { servers, urls, commits, open } = await createMirrored(t);
    const { list } = await open();
    servers[0]?.setFault(down);
    servers[1]?.setFault({ kind: 'page' });
    const error = await errorOf(list.resolveBranch('main'));
    assert.equal(error.code, 'remote-failed');
    assert.equal(error.exitCode, 3);
    for (const url of urls) assert.ok(error.message.includes(url), error.message);
    servers[1]?.setFault(undefined);
    assert.equal(await list.resolveBranch('main'), commits[3]);
  });

  it('asks the next one for an object that the first lacks', async (t) => {
    const { repository, commits, urls, show, open } = await createMirrored(t);
    const [, second = '', third = '', tip = ''] = commits;
    const { list, database } = await open();
    await list.resolveBranch('main');
    // Since it was asked for its tip, the first has lost what the second still has.
    show(0, second);
    await list.fetchCommits(tip, third);
    const tree = repository.git('rev-parse', `${tip}:modules/Orders`);
    await list.fetchTrees([tree]);
    assert.equal(await database.has(tree), true);
    assert.equal(list.answering, urls[0]);
    const error = await errorOf(list.fetchTrees(['1'.repeat(40)]));
    assert.equal(error.code, 'remote-lacks-object');
  });

  it('skips a mirror that lags, also one older than anything here or on a disk without history', async (t) => {
    const { commits, urls, show, open } = await createMirrored(t);
    const [first = '', second = '', third = '', tip = ''] = commits;
    for (const [lagging, had] of [
      [third, second],
      [first, third],
      [third, undefined],
    ] as const) {
      const { list, database, said } = await open();
      if (had !== undefined) {
        show(0, tip);
        await list.fetchCommits(had, undefined);
        await list.fetchCommits(tip, had);
      }
      show(0, lagging);
      assert.equal(
        await list.resolveBranch('main', async () => ({ commits: [tip], mayGoBack: true })),
        tip,
      );
      assert.equal(list.answering, urls[1]);
      assert.equal(
        said[0],
        `warn ${urls[0]} is behind: main is at ${lagging}, older than ${tip}; the next repository is asked`,
      );
      assert.equal(await database.has(tip), true);
    }
  });

  it('goes nowhere when all lag, says so, and goes on as soon as one has caught up', async (t) => {
    const { commits, urls, servers, show, open } = await createMirrored(t);
    const [first = '', second = '', third = '', tip = ''] = commits;
    const { list } = await open();
    await list.fetchCommits(first, undefined);
    await list.fetchCommits(tip, first);
    show(0, second);
    show(1, third);
    const known = async () => ({ commits: [tip] });
    const error = await errorOf(list.resolveBranch('main', known));
    assert.equal(error.code, 'remote-behind');
    assert.equal(error.exitCode, 3);
    assert.ok(error.message.includes(`${urls[0]} at ${second}, ${urls[1]} at ${third}`));
    assert.ok(error.message.includes(tip));
    // A person on the pod may want to go back.
    assert.equal(
      await list.resolveBranch('main', async () => ({ ...(await known()), mayGoBack: true })),
      second,
    );
    servers[1]?.setFault(down);
    const half = await errorOf(list.resolveBranch('main', known));
    assert.equal(half.code, 'remote-behind');
    assert.match(half.message, /answers with 500/);
    show(0, tip);
    assert.equal(await list.resolveBranch('main', known), tip);
  });

  it('takes a rewritten branch for what it is, not for one that lags', async (t) => {
    const { repository, commits, urls, show, open } = await createMirrored(t);
    const [first = '', , , tip = ''] = commits;
    const { list, said } = await open();
    await list.fetchCommits(first, undefined);
    await list.fetchCommits(tip, first);
    repository.git('reset', '-q', '--hard', first);
    const rewritten = repository.commit('Another history', { file: 'x\n' });
    show(0, rewritten);
    // Whoever follows it refuses it; a mirror that has not heard of it must not hide it.
    assert.equal(await list.resolveBranch('main', async () => ({ commits: [tip] })), rewritten);
    assert.equal(list.answering, urls[0]);
    assert.deepEqual(said, [`info ${urls[0]} answers for the repository`]);
  });

  it('has a branch when one of them has it', async (t) => {
    const { commits, urls, servers, push, open } = await createMirrored(t);
    const { list } = await open();
    const error = await errorOf(list.resolveBranch('next'));
    assert.equal(error.code, 'branch-not-found');
    assert.equal(error.exitCode, 2);
    for (const url of urls) assert.ok(error.message.includes(url), error.message);
    servers[0]?.setFault(down);
    assert.equal((await errorOf(list.resolveBranch('next'))).exitCode, 3);
    servers[0]?.setFault(undefined);
    push(1, 'next', commits[0] ?? '');
    assert.equal(await list.resolveBranch('next'), commits[0]);
  });
});
