import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { createPlatform, writeLocks } from '../support/platform.ts';

test('tags each version where it was first locked, and does nothing the second time', async (t) => {
  const platform = createPlatform(t, { rings: ['canary'] });
  const first = platform.git('rev-parse', 'HEAD');
  platform.commit('Beside', { 'README.md': 'more\n' });
  const tag = (...args: string[]) => runCli(platform.path, ['tag', ...args]);
  const dry = await tag('--dry-run');
  assert.equal(dry.code, 0, dry.stderr);
  assert.equal(platform.git('tag'), '');
  const done = await tag();
  assert.equal(done.code, 0);
  assert.match(done.stdout, new RegExp(`^orders@1\\.0\\.0 {2}made at ${first}$`, 'm'));
  assert.equal(platform.git('rev-parse', 'orders@1.0.0'), first);
  assert.equal(platform.git('tag').split('\n').length, 4);
  platform.change('Products');
  platform.setVersion('Products', '1.1.0');
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  const second = platform.commit('Products 1.1.0');
  const again = await tag('--json');
  const states = JSON.parse(again.stdout).tags.map(
    ({ tag: name, state, commit }: Record<string, string>) => [name, state, commit],
  );
  assert.deepEqual(states, [
    ['communications@1.0.0', 'exists', first],
    ['mobile-app@0.3.0', 'exists', first],
    ['orders@1.0.0', 'exists', first],
    ['products@1.1.0', 'new', second],
  ]);
});

test('never moves a tag, and tags no bytes that differ from the released ones', async (t) => {
  const platform = createPlatform(t, { rings: ['canary'] });
  const first = platform.git('rev-parse', 'HEAD');
  await runCli(platform.path, ['tag', 'orders']);
  platform.change('Orders');
  platform.change('Products');
  const head = platform.commit('Changed without a bump');
  const { code, stdout } = await runCli(platform.path, ['tag', 'orders', 'products', 'mobile-app']);
  assert.equal(code, 1);
  assert.match(stdout, new RegExp(`orders@1\\.0\\.0 {2}refused: .*${first}.*${head}`));
  assert.match(
    stdout,
    new RegExp(`products@1\\.0\\.0 {2}refused: .*released by ${first}.*${head}`),
  );
  assert.equal(platform.git('rev-parse', 'orders@1.0.0'), first);
  assert.equal(platform.git('tag'), 'mobile-app@0.3.0\norders@1.0.0');
});

test('pushes tags that the remote lacks, and refuses where it has another', async (t) => {
  const platform = createPlatform(t, { rings: ['canary'] });
  const remote = platform.addRemote(t);
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: remote, encoding: 'utf8' }).trim();
  const first = platform.git('rev-parse', 'HEAD');
  const done = await runCli(platform.path, ['tag', 'orders', '--push']);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(git('rev-parse', 'orders@1.0.0'), first);
  const again = await runCli(platform.path, ['tag', 'orders', '--push']);
  assert.match(again.stdout, /orders@1\.0\.0 {2}exists at \w+\n$/);

  // Another clone has tagged, and this one knows nothing of it.
  platform.git('tag', '-d', 'orders@1.0.0');
  const taken = await runCli(platform.path, ['tag', 'orders', '--push']);
  assert.equal(taken.code, 0, taken.stdout);
  assert.equal(platform.git('rev-parse', 'orders@1.0.0'), first);
  platform.change('Products');
  const other = platform.commit('Other bytes');
  git('fetch', '-q', platform.path, 'main');
  git('update-ref', 'refs/tags/products@1.0.0', other);
  platform.git('reset', '-q', '--hard', first);
  const refused = await runCli(platform.path, ['tag', 'products', '--push']);
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, new RegExp(other));
  assert.equal(git('rev-parse', 'products@1.0.0'), other);
  assert.equal(platform.tryGit('rev-parse', '--verify', 'products@1.0.0').status, 128);
});
