import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { firstMissingBelow } from '../../../src/git/completeness.ts';
import { onEnd } from '../../support/cleanup.ts';
import { serveOverSsh } from '../../support/ssh-platform.ts';
import { sshdMissing, startSshServer } from '../../support/ssh-server.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a repository over SSH', { skip: sshdMissing() ?? false }, async (t) => {
  const { sshd, open, tip, bare, sessions } = await serveOverSsh(t);
  await t.test(
    'hands out exactly what is asked for, over one connection and one process',
    async (own) => {
      const { open, tip, orders, database } = await serveOverSsh(own, sshd);
      const before = sessions();
      const remote = open();
      assert.equal(await remote.resolveBranch('main'), tip);
      const commits = await remote.fetchCommits(tip, undefined);
      assert.equal(commits.objects, 1);
      const trees = await remote.fetchTrees([orders]);
      assert.equal(trees.requests, 1);
      assert.equal(trees.objects, 4);
      assert.equal(await firstMissingBelow(database, orders), undefined);
      assert.doesNotMatch(remote.url, /@/);
      assert.deepEqual(sessions(), { logins: before.logins + 1, commands: before.commands + 1 });
      await assert.rejects(remote.resolveBranch('nope'), { code: 'branch-not-found' });
    },
  );

  await t.test(
    'sees what is pushed, packed and pruned meanwhile, on the same connection',
    async (own) => {
      const { open, tip, repository, publish, bare, database } = await serveOverSsh(own, sshd);
      const remote = open({ lingerMs: 60_000 });
      await remote.fetchCommits(await remote.resolveBranch('main'), undefined);
      const before = sessions();
      let last = tip;
      for (const number of [2, 3]) {
        const next = repository.commit(`Change ${number}`, {
          'modules/Orders/n.txt': `${number}\n`,
        });
        publish();
        execFileSync('git', ['-C', bare, 'gc', '-q', '--prune=now']);
        assert.equal(await remote.resolveBranch('main'), next);
        await remote.fetchCommits(next, last);
        const tree = repository.git('rev-parse', 'HEAD:modules/Orders');
        await remote.fetchTrees([tree]);
        assert.equal(await firstMissingBelow(database, tree), undefined);
        last = next;
      }
      // git answers from the refs that it read first, so each look at them is a process.
      assert.deepEqual(sessions(), { ...before, commands: before.commands + 2 });
    },
  );

  await t.test(
    'keeps no connection once nothing is asked, and makes another when something is',
    async () => {
      const before = sshd.log().split('Disconnected from user').length;
      const remote = open({ lingerMs: 1 });
      assert.equal(await remote.resolveBranch('main'), tip);
      await waitUntil(
        'sshd saw the end',
        () => sshd.log().split('Disconnected from user').length > before,
      );
      await remote.fetchCommits(tip, undefined);
    },
  );

  await t.test('asks at the same time over one connection', async () => {
    const before = sessions();
    const remote = open();
    const tips = await Promise.all([1, 2, 3].map(() => remote.resolveBranch('main')));
    assert.deepEqual(tips, [tip, tip, tip]);
    assert.equal(sessions().logins, before.logins + 1);
  });

  await t.test(
    'speaks the older protocol with a server that does not hear of a newer',
    async (own) => {
      const old = await startSshServer({ acceptEnv: false });
      onEnd(own, () => old.stop());
      const { open, tip, orders, database, repository, publish } = await serveOverSsh(own, old);
      const remote = open();
      assert.equal(await remote.resolveBranch('main'), tip);
      await remote.fetchCommits(tip, undefined);
      await remote.fetchTrees([orders]);
      assert.equal(await firstMissingBelow(database, orders), undefined);
      const next = repository.commit('Change', { 'modules/Orders/n.txt': '2\n' });
      publish();
      assert.equal(await remote.resolveBranch('main'), next);
      await remote.fetchCommits(next, tip);
      assert.equal((await database.readCommit(next)).parents[0], tip);
      await assert.rejects(remote.fetchTrees(['0'.repeat(39).concat('1')]), { exitCode: 3 });
    },
  );

  await t.test('reaches a path that a shell would read otherwise', async () => {
    const name = 'it\'s $(touch pwned); `id` & "x" ü!.git';
    cpSync(bare, join(dirname(bare), name), { recursive: true });
    const remote = open({}, `${sshd.url}${dirname(bare)}/${encodeURIComponent(name)}`);
    assert.equal(await remote.resolveBranch('main'), tip);
  });
});
