import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { splitCacheFile } from '../../src/release/split-cache.ts';
import { runCli } from '../support/cli.ts';
import { subtreeMissing, subtreeSplit } from '../support/made-history.ts';
import { mirrorPlatform, mirrorToken } from '../support/mirrors.ts';
import { writeLocks } from '../support/platform.ts';

const skip = subtreeMissing() ?? false;

test('pushes every split and tags its version; a second run does nothing and says so', {
  skip,
}, async (t) => {
  const { platform, mirror, git, argumentLists, server } = await mirrorPlatform(t);
  const dry = await mirror('--all', '--dry-run');
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /orders 1\.0\.0 {2}would push main \w+ \(new\), tag v1\.0\.0/);
  assert.equal(git('orders', 'for-each-ref'), '');

  const first = await mirror('--all');
  assert.equal(first.code, 0, first.stdout + first.stderr);
  for (const [alias, directory, version] of [
    ['orders', 'Orders', '1.0.0'],
    ['products', 'Products', '1.2.0'],
  ] as const) {
    const expected = subtreeSplit(platform, `modules/${directory}`).stdout.trim();
    assert.equal(git(alias, 'rev-parse', 'main'), expected);
    assert.equal(git(alias, 'rev-parse', `v${version}`), expected);
  }

  server.requests.length = 0;
  const second = await mirror('--all');
  assert.equal(second.code, 0, second.stdout);
  assert.match(second.stdout, /every mirror has everything; nothing was pushed/);
  assert.deepEqual(
    server.requests.filter(({ path }) => path.includes('receive-pack')),
    [],
  );

  const seen = [dry, first, second].map(({ stdout, stderr }) => stdout + stderr).join('\n');
  const encoded = Buffer.from(`oauth2:${mirrorToken}`).toString('base64');
  for (const text of [seen, argumentLists(), platform.read('.git/config')]) {
    assert.ok(!text.includes(mirrorToken) && !text.includes(encoded), text);
  }
  assert.match(argumentLists(), /^push .*http:\/\/127\.0\.0\.1/m);
});

test('pushes what is new only, with --changed only where something is', { skip }, async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  platform.setVersion('Orders', '1.1.0');
  platform.commit('Orders 1.1.0');
  const tip = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  const { code, stdout } = await mirror('--changed', '--json');
  assert.equal(code, 0, stdout);
  const { modules } = JSON.parse(stdout);
  assert.deepEqual(
    modules.map(({ alias, how, tags, commit }: Record<string, string>) => [
      alias,
      how,
      tags,
      commit,
    ]),
    [['orders', 'forward', ['v1.1.0'], tip]],
  );
  assert.equal(git('orders', 'rev-parse', 'main'), tip);

  platform.commit('Beside', { 'README.md': 'more\n' });
  const none = await mirror('--changed');
  assert.match(none.stdout, /no module has changed/);
});

test('tags the versions that were released since the last push, and none that a branch alone had', {
  skip,
}, async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  const release = (version: string): string => {
    platform.setVersion('Orders', version);
    platform.git('add', '-A');
    writeLocks(platform, ['canary']);
    platform.commit(`Orders ${version}`);
    return subtreeSplit(platform, 'modules/Orders').stdout.trim();
  };
  const passed = release('1.0.1');
  platform.git('checkout', '-q', '-b', 'topic');
  release('1.0.2');
  release('1.0.3');
  platform.git('checkout', '-q', 'main');
  platform.git('merge', '-q', '--no-ff', '-m', 'Merge', 'topic');
  const { code, stdout } = await mirror('orders');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /tag v1\.0\.1, tag v1\.0\.3/);
  assert.equal(git('orders', 'tag'), 'v1.0.0\nv1.0.1\nv1.0.3');
  assert.equal(git('orders', 'rev-parse', 'v1.0.1'), passed);
});

test('lets a change of what is not distributed stand below the tag that is there', async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  const tag = git('orders', 'rev-parse', 'v1.0.0');
  platform.commit('Tests only', { 'modules/Orders/tests/more.test.mjs': '// more\n' });
  const { code, stdout } = await mirror('orders');
  assert.equal(code, 0, stdout);
  assert.equal(git('orders', 'rev-parse', 'v1.0.0'), tag);
  assert.notEqual(git('orders', 'rev-parse', 'main'), tag);
});

test('never moves a tag: refused with both ids, and nothing of that module is pushed', {
  skip,
}, async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  const tagged = git('orders', 'rev-parse', 'v1.0.0');
  platform.change('Orders');
  platform.change('Products');
  platform.setVersion('Products', '1.3.0');
  platform.commit('One with a bump, one without');
  const { code, stdout } = await mirror('--all');
  assert.equal(code, 1);
  const tip = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  assert.match(stdout, new RegExp(`refused: .*v1\\.0\\.0 at ${tagged} .*${tip}`));
  assert.equal(git('orders', 'rev-parse', 'v1.0.0'), tagged);
  assert.equal(git('orders', 'rev-parse', 'main'), tagged);
  assert.match(git('products', 'tag'), /v1\.3\.0/);
});

test('forces a mirror that diverged, and says so; sets none back that is ahead', {
  skip,
}, async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  const before = platform.git('rev-parse', 'HEAD');
  platform.setVersion('Orders', '1.1.0');
  platform.commit('Orders 1.1.0');
  await mirror('orders');
  const ahead = git('orders', 'rev-parse', 'main');
  platform.git('checkout', '-q', '-B', 'main', before);
  const overtaken = await mirror('orders');
  assert.equal(overtaken.code, 1);
  assert.match(overtaken.stdout, new RegExp(`ahead: .*${ahead}`));
  assert.equal(git('orders', 'rev-parse', 'main'), ahead);

  platform.setVersion('Orders', '1.0.1');
  platform.commit('Another way');
  const forced = await mirror('orders');
  assert.equal(forced.code, 0, forced.stdout);
  assert.match(forced.stdout, new RegExp(`by force, since the mirror diverged at ${ahead}`));
  assert.equal(
    git('orders', 'rev-parse', 'main'),
    subtreeSplit(platform, 'modules/Orders').stdout.trim(),
  );
});

test('sees that a mirror is ahead by a commit that this clone does not have', async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  await mirror('--all');
  const tree = git('orders', 'rev-parse', 'main^{tree}');
  const tip = git('orders', 'rev-parse', 'main');
  const foreign = git(
    'orders',
    '-c',
    'user.name=E',
    '-c',
    'user.email=e@x',
    'commit-tree',
    tree,
    '-p',
    tip,
    '-m',
    'x',
  );
  git('orders', 'update-ref', 'refs/heads/main', foreign);
  assert.equal(platform.tryGit('cat-file', '-e', foreign).status, 1);
  const { code, stdout } = await mirror('orders');
  assert.equal(code, 1);
  assert.match(stdout, new RegExp(foreign));
  assert.equal(git('orders', 'rev-parse', 'main'), foreign);
});

test('goes on with the others when one mirror is away, and ends with 3', async (t) => {
  const { platform, mirror, git, server } = await mirrorPlatform(t);
  platform.setVersion('Orders', '1.0.0', { repository: `${server.url}/nowhere.git` });
  platform.commit('A wrong address');
  const { code, stdout } = await mirror('--all');
  assert.equal(code, 3);
  assert.match(stdout, /orders 1\.0\.0 {2}failed: .*nowhere\.git/);
  assert.match(git('products', 'tag'), /v1\.2\.0/);
});

test('says which variable and scope a mirror wants that lets nobody in', async (t) => {
  const { platform, server } = await mirrorPlatform(t);
  const wrong = await runCli(platform.path, ['mirror', 'orders'], {
    MIRROR_PUSH_TOKEN: 'wrong-token-x',
  });
  assert.equal(wrong.code, 3);
  assert.match(wrong.stdout, /MIRROR_PUSH_TOKEN is wrong, expired.*write_repository/);
  assert.doesNotMatch(wrong.stdout + wrong.stderr, /wrong-token-x/);
  const none = await runCli(platform.path, ['mirror', 'orders']);
  assert.equal(none.code, 3);
  assert.match(none.stdout, /Set MIRROR_PUSH_TOKEN or MIRROR_PUSH_TOKEN_FILE/);
  server.requests.length = 0;
  server.setFault({
    kind: 'redirect',
    location: `${server.url}/elsewhere.git/info/refs?service=git-upload-pack`,
  });
  const redirected = await runCli(platform.path, ['mirror', 'orders'], {
    MIRROR_PUSH_TOKEN: mirrorToken,
  });
  assert.equal(redirected.code, 3);
  assert.ok(!server.requests.some(({ path }) => path.includes('elsewhere')));
});

test('mirrors themes, takes addresses from the settings, and lists who has none', async (t) => {
  const { platform, mirror, git, addMirror } = await mirrorPlatform(t);
  const manifest = { name: 'Dark', alias: 'dark', version: '0.1.0' };
  platform.setVersion('Orders', '1.0.0', { repository: undefined });
  platform.setVersion('Products', '1.2.1', {
    repository: 'https://gitlab.example.com/old/name.git',
  });
  platform.commit('A theme', {
    'manifests/ringlock.yaml': `roots: [modules, themes]\nmirrors:\n  dark: ${addMirror('theme-dark')}\n  products: ${addMirror('old-products')}\n`,
    'themes/Dark/module.json': JSON.stringify(manifest),
    'themes/Dark/dark.css': 'body {}\n',
  });
  const { code, stdout } = await mirror('--all');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^orders 1\.0\.0 {2}has no mirror/m);
  assert.equal(git('theme-dark', 'ls-tree', '--name-only', 'v0.1.0'), 'dark.css\nmodule.json');
  assert.match(git('old-products', 'tag'), /v1\.2\.1/);
});

test('refuses modules that name one mirror, and addresses with a password', async (t) => {
  const { platform, mirror, git, server } = await mirrorPlatform(t);
  platform.setVersion('Products', '1.2.0', { repository: `${server.url}/orders` });
  platform.commit('The same mirror');
  const shared = await mirror('--all');
  assert.equal(shared.code, 1);
  assert.match(shared.stdout, /orders and products have the same mirror/);
  assert.equal(git('orders', 'for-each-ref'), '');

  platform.setVersion('Products', '1.2.0', {
    repository: 'https://me:pass-in-url@example.com/x.git',
  });
  platform.commit('A password');
  const given = await mirror('products');
  assert.equal(given.code, 2);
  assert.match(given.stdout, /has a user or a password in it/);
  assert.doesNotMatch(given.stdout + given.stderr, /pass-in-url/);
});

test('a module that was deleted and made again brings nothing else into its mirror', {
  skip,
}, async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  const first = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  const files = ['module.json', 'src/index.mjs'].map((name) => `modules/Orders/${name}`);
  const kept = Object.fromEntries(files.map((file) => [file, platform.read(file)]));
  platform.commit('Delete orders', { 'modules/Orders': null, 'deploy/secret.env': 'PASSWORD=1\n' });
  platform.commit('Make it again', { ...kept, 'modules/Orders/new.txt': 'new\n' });
  platform.setVersion('Orders', '1.1.0');
  platform.commit('Orders 1.1.0');
  const leaked = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  assert.match(platform.git('log', '--name-only', '--format=', leaked), /secret\.env/);

  const { code, stdout } = await mirror('--all');
  assert.equal(code, 0, stdout);
  const names = git('orders', 'log', '--name-only', '--format=', '-m', '--root', 'main');
  assert.doesNotMatch(names, /secret|modules\/|VERSION/);
  assert.match(git('orders', 'log', '--format=%H', 'main'), new RegExp(first));
});

test('pushes nothing of a split that holds what is not the module', async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  const file = splitCacheFile(await findRepository(platform.path));
  const head = platform.git('rev-parse', 'HEAD');
  const foreign = platform.git('commit-tree', 'HEAD^{tree}', '-m', 'Everything');
  for (const [commit, what] of [
    [head, 'is one of this repository'],
    [foreign, 'has files that were never modules/Orders'],
  ] as const) {
    rmSync(file, { force: true });
    await runCli(platform.path, ['split', '--all']);
    const [, text = ''] = readFileSync(file, 'utf8').split('\n');
    const cache = JSON.parse(text);
    const orders = cache.directories['modules/Orders'];
    orders.ids = orders.ids.slice(0, -40) + commit;
    const changed = JSON.stringify(cache);
    const digest = createHash('sha256').update(changed).digest('hex');
    writeFileSync(file, `sha256:${digest}\n${changed}`);
    const { code, stdout } = await mirror('--all');
    assert.equal(code, 1);
    assert.match(
      stdout,
      new RegExp(`nothing of modules/Orders is pushed: commit ${commit} .*${what}`),
    );
    assert.equal(git('orders', 'for-each-ref'), '');
    assert.match(git('products', 'tag'), /v1\.2\.0/);
  }
});

test('reads the token from a file, and says what a detached HEAD lacks', async (t) => {
  const { platform, git } = await mirrorPlatform(t);
  const file = join(platform.path, '.git', 'token');
  writeFileSync(file, `${mirrorToken}\n`);
  platform.git('checkout', '-q', '--detach');
  const environment = { MIRROR_PUSH_TOKEN_FILE: file };
  const unknown = await runCli(platform.path, ['mirror', '--all'], environment);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /--branch/);
  const pipeline = { ...environment, CI_COMMIT_BRANCH: 'orders-1.0' };
  const done = await runCli(platform.path, ['mirror', 'orders'], pipeline);
  assert.equal(done.code, 0, done.stdout);
  assert.match(git('orders', 'branch', '--list'), /orders-1\.0/);
});

test('tags no other bytes than those that a lock released', async (t) => {
  const { platform, mirror, git } = await mirrorPlatform(t);
  platform.change('Orders');
  platform.commit('A change without a version');
  const { code, stdout } = await mirror('--all');
  assert.equal(code, 1);
  assert.match(stdout, /orders 1\.0\.0 {2}refused: orders 1\.0\.0 was released with other bytes/);
  assert.equal(git('orders', 'for-each-ref'), '');
  assert.match(git('products', 'tag'), /v1\.2\.0/);
});
