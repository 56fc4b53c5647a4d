import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cliPath, runCli } from '../support/cli.ts';
import { assertCommittedRight, assertRefused } from '../support/hooked-platform.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { gitEnvironment, openRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function writeHook(directory: string, name: string, body: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(directory, name), 0o755);
}

function bumpOrders(platform: Platform): void {
  platform.change('Orders');
  platform.setVersion('Orders', '1.0.1');
}

async function installed(platform: { path: string }): Promise<void> {
  const { code, stderr } = await runCli(platform.path, ['hooks', 'install']);
  assert.equal(code, 0, stderr);
}

test('install, status and uninstall: installing twice changes nothing', async (t) => {
  const platform = createPlatform(t);
  assert.equal((await runCli(platform.path, ['hooks', 'status'])).code, 1);
  await installed(platform);
  await installed(platform);
  const status = await runCli(platform.path, ['hooks', 'status', '--json']);
  assert.equal(status.code, 0);
  assert.equal(JSON.parse(status.stdout).installed, true);
  bumpOrders(platform);
  platform.git('commit', '-qam', 'Orders 1.0.1');
  await assertCommittedRight(t, platform);
  assert.equal((await runCli(platform.path, ['hooks', 'uninstall'])).code, 0);
  assert.equal(existsSync(join(platform.path, '.git/hooks/pre-commit')), false);
  assert.equal(platform.tryGit('config', '--get', 'ringlock.program').status, 1);
});

test('a hook that was there runs first, can refuse, and comes back at uninstall', async (t) => {
  const platform = createPlatform(t);
  const hooks = join(platform.path, '.git/hooks');
  writeHook(hooks, 'pre-commit', 'echo "mine $*" >>mine.log; test ! -e stop');
  writeHook(hooks, 'pre-push', 'cat >push.log');
  const text = readFileSync(join(hooks, 'pre-commit'), 'utf8');
  await installed(platform);
  await installed(platform);
  platform.write({ '.gitignore': '*.log\nstop\n', stop: '' });
  bumpOrders(platform);
  platform.git('add', '-A');
  assert.notEqual(platform.tryGit('commit', '-m', 'x').status, 0);
  platform.write({ stop: null });
  platform.git('commit', '-qm', 'Orders 1.0.1');
  await assertCommittedRight(t, platform);
  assert.equal(platform.read('mine.log').split('\n').length, 3);
  platform.addRemote(t);
  platform.commit('More', { 'README.md': 'more\n' });
  platform.git('push', '-q');
  assert.match(
    platform.read('push.log'),
    /^refs\/heads\/main [0-9a-f]+ refs\/heads\/main [0-9a-f]+\n$/,
  );
  assert.equal((await runCli(platform.path, ['hooks', 'uninstall'])).code, 0);
  assert.equal(readFileSync(join(hooks, 'pre-commit'), 'utf8'), text);
});

test('core.hooksPath is respected, in a linked worktree too', async (t) => {
  const platform = createPlatform(t);
  platform.write({ '.gitignore': 'githooks/\n' });
  platform.commit('Ignore');
  platform.git('config', 'core.hooksPath', 'githooks');
  await installed(platform);
  assert.ok(existsSync(join(platform.path, 'githooks/pre-commit')));
  platform.change('Orders');
  assertRefused(platform, ['commit', '-am', 'x'], /orders was changed/);
});

test('installed from a linked worktree, every worktree has the hooks', async (t) => {
  const platform = createPlatform(t);
  const path = `${temporaryDirectory(t, 'linked')}/tree`;
  platform.git('worktree', 'add', '-q', '-b', 'topic', path);
  await installed({ path });
  platform.change('Orders');
  assertRefused(platform, ['commit', '-am', 'x'], /orders was changed/);
  const linked = openRepository(path);
  linked.write({ 'modules/Orders/src/index.mjs': 'other\n' });
  assertRefused(linked, ['commit', '-am', 'x'], /orders was changed/);
});

test('husky’s hooks are joined where the developer writes them, and still run', async (t) => {
  const platform = createPlatform(t);
  writeHook(
    join(platform.path, '.husky/_'),
    'pre-commit',
    'sh -e "$(dirname "$0")/../pre-commit" "$@"',
  );
  platform.write({
    '.husky/pre-commit': 'echo ran >>husky.log\n',
    '.gitignore': '.husky/\n*.log\n',
  });
  platform.commit('Husky');
  platform.git('config', 'core.hooksPath', '.husky/_');
  await installed(platform);
  platform.change('Orders');
  assertRefused(platform, ['commit', '-am', 'x'], /orders was changed/);
  assert.equal(platform.read('husky.log'), 'ran\n');
});

test('two hooks in the way of each other are not overwritten', async (t) => {
  const platform = createPlatform(t);
  const hooks = join(platform.path, '.git/hooks');
  writeHook(hooks, 'pre-commit', 'true');
  symlinkSync('nowhere', join(hooks, 'pre-commit.before-ringlock'));
  const { code, stderr } = await runCli(platform.path, ['hooks', 'install']);
  assert.equal(code, 1);
  assert.match(stderr, /pre-commit is not ringlock's, and .*before-ringlock is there already/);
});

test('a commit that touches no module starts no Node, and one that does says what is missing', async (t) => {
  const platform = createPlatform(t);
  await installed(platform);
  // A program that is not there: starting it at all would refuse the commit.
  platform.git('config', 'ringlock.program', '/nowhere/cli.js');
  platform.commit('Docs', { 'docs/a.md': 'a\n' });
  platform.change('Orders');
  const { stderr } = assertRefused(platform, ['commit', '-am', 'x'], /is not installed here/);
  assert.match(stderr, /npm ci/);
});

test('RINGLOCK names the program to use', async (t) => {
  const platform = createPlatform(t);
  await installed(platform);
  platform.git('config', 'ringlock.program', '/nowhere/cli.js');
  platform.change('Orders');
  gitEnvironment['RINGLOCK'] = cliPath;
  t.after(() => delete gitEnvironment['RINGLOCK']);
  assertRefused(platform, ['commit', '-am', 'x'], /orders was changed/);
});
