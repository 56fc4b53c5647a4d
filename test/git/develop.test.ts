import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { cloneOf, createPlatform, defaultModules, moduleFiles } from '../support/platform.ts';
import { createRepository, type Repository } from '../support/repository.ts';

async function run(repository: Repository, ...args: string[]) {
  return runCli(repository.path, args);
}

const json = (repository: Repository, file: string) => JSON.parse(repository.read(file));

test('verify passes on a right platform, and on a fresh clone of it', async (t) => {
  const platform = createPlatform(t);
  const { code, stdout } = await run(platform, 'verify');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /canary \(tracks modules\/\), 4 modules: right/);
  assert.match(stdout, /stable \(pinned\), 4 modules: right/);
  const clone = cloneOf(t, platform.path);
  assert.equal((await run(clone, 'verify')).code, 0);
});

test("verify names a tracking ring's module that is not as locked", async (t) => {
  const platform = createPlatform(t);
  platform.change('Orders');
  const { code, stdout } = await run(platform, 'verify', '--ring', 'canary', '--json');
  assert.equal(code, 1);
  const [{ problems }] = JSON.parse(stdout).rings;
  assert.deepEqual(
    problems.map(({ alias, code: kind }: { alias: string; code: string }) => [alias, kind]),
    [['orders', 'digest']],
  );
});

test("verify reads a pinned ring's trees from git, and says which entry is wrong or cannot be found", async (t) => {
  const platform = createPlatform(t);
  const lock = json(platform, 'manifests/stable.lock.json');
  lock.modules.orders.sha256 = `sha256:${'0'.repeat(64)}`;
  lock.modules.products.tree = '1'.repeat(40);
  lock.modules['mobile-app'].version = '0.4.0';
  lock.modules.communications.tree = null;
  platform.write({ 'manifests/stable.lock.json': JSON.stringify(lock, null, 2) });
  const { code, stdout } = await run(platform, 'verify', '--ring', 'stable');
  assert.equal(code, 1);
  assert.match(
    stdout,
    /orders 1\.0\.0 of stable is not what the lock says: its tree has the digest/,
  );
  assert.match(stdout, /products 1\.0\.0 of stable cannot be found/);
  assert.match(stdout, /mobile-app 0\.4\.0 .* has the version 0\.3\.0/);
  assert.match(stdout, /communications 1\.0\.0 of stable cannot be found: the lock names no tree/);
});

test('verify wants a pinned tree on the deploy branch or a tag, or an artifact', async (t) => {
  const platform = createPlatform(t);
  platform.git('checkout', '-qb', 'side');
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  platform.git('commit', '-qm', 'Orders 1.0.1');
  await run(platform, 'lock', '--ring', 'edge', '--force');
  const lone = await run(platform, 'verify', '--ring', 'edge');
  assert.equal(lone.code, 1);
  assert.match(
    lone.stdout,
    /orders 1\.0\.1: tree [0-9a-f]{40} is reached by no tag and no deploy branch \(main\)/,
  );
  platform.git('tag', 'orders@1.0.1');
  assert.equal((await run(platform, 'verify', '--ring', 'edge')).code, 0);
  platform.git('tag', '-d', 'orders@1.0.1');
  const lock = json(platform, 'manifests/edge.lock.json');
  lock.modules.orders.artifact = {
    url: 'https://r.example.com/o.zip',
    sha256: lock.modules.orders.sha256,
    size_bytes: 1,
  };
  platform.write({ 'manifests/edge.lock.json': JSON.stringify(lock, null, 2) });
  assert.equal((await run(platform, 'verify', '--ring', 'edge')).code, 0);
});

test('compat exits 1 on a module that the platform refuses, and names what falls with it', async (t) => {
  const platform = createPlatform(t);
  assert.equal((await run(platform, 'compat')).code, 0);
  const strict = await run(platform, 'compat', '--strict');
  assert.equal(strict.code, 1);
  assert.match(strict.stdout, /mobile-app +0\.3\.0 +\(any\) +no range/);
  platform.write({ VERSION: '3.0.0\n' });
  const { code, stdout } = await run(platform, 'compat');
  assert.equal(code, 1);
  assert.match(
    stdout,
    /orders 1\.0\.0 is incompatible: platform 3\.0\.0 does not satisfy \^2\.0\.0/,
  );
  assert.match(stdout, /communications cannot run because its dependency orders cannot/);
  assert.equal(
    (await run(platform, 'compat', '--ring', 'stable')).code,
    0,
    'stable has its own platform',
  );
});

test('compat names a dependency cycle', async (t) => {
  const [products, ...rest] = defaultModules;
  assert.ok(products);
  const modules = [{ ...products, dependencies: { communications: '^1.0.0' } }, ...rest];
  const platform = createPlatform(t, { modules });
  const { code, stdout } = await run(platform, 'compat');
  assert.equal(code, 1);
  assert.match(stdout, /communications → orders → products → communications/);
});

test('list shows what each ring has', async (t) => {
  const platform = createPlatform(t);
  platform.setVersion('Orders', '1.0.1');
  const { modules, rings } = JSON.parse((await run(platform, 'list', '--json')).stdout);
  assert.deepEqual(rings, ['canary', 'edge', 'stable']);
  assert.deepEqual(
    modules.find(({ alias }: { alias: string }) => alias === 'orders'),
    {
      alias: 'orders',
      directory: 'Orders',
      version: '1.0.1',
      locked: { canary: '1.0.0', edge: '1.0.0', stable: '1.0.0' },
    },
  );
  assert.match((await run(platform, 'list', '--ring', 'edge')).stdout, /orders +Orders +1\.0\.0/);
});

test('hold and unhold edit the ring file and keep its comments', async (t) => {
  const platform = createPlatform(t);
  const before = platform.read('manifests/canary.ring.yaml');
  const held = await run(
    platform,
    'hold',
    'Orders',
    '--ring',
    'canary',
    '--reason',
    'loses refunds',
  );
  assert.equal(held.code, 0, held.stderr);
  const text = platform.read('manifests/canary.ring.yaml');
  assert.ok(text.startsWith(before), text);
  assert.match(
    text,
    /holds:\n {2}orders:\n {4}version: 1\.0\.0\n {4}reason: loses refunds\n {4}since: \S+\n {4}by: Ada Developer <ada@example\.com>\n/,
  );
  assert.equal((await run(platform, 'unhold', 'orders', '--ring', 'canary')).code, 0);
  assert.equal(platform.read('manifests/canary.ring.yaml'), before);
  const again = await run(platform, 'unhold', 'orders', '--ring', 'canary');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /does not hold orders/);
  assert.equal(
    (await run(platform, 'hold', 'nothing', '--ring', 'canary', '--reason', 'x')).code,
    2,
  );
});

test('bump edits the version and the changelog, nothing else', async (t) => {
  const platform = createPlatform(t);
  const { code, stdout } = await run(platform, 'bump', 'orders', 'minor', '-m', 'Takes refunds.');
  assert.equal(code, 0);
  assert.match(stdout, /orders 1\.0\.0 → 1\.1\.0/);
  assert.deepEqual(
    platform
      .git('diff', '--stat')
      .split('\n')
      .slice(0, -1)
      .map((line) => line.trim().split(' ')[0]),
    ['modules/Orders/CHANGELOG.md', 'modules/Orders/module.json'],
  );
  assert.equal(json(platform, 'modules/Orders/module.json').version, '1.1.0');
  assert.match(
    platform.read('modules/Orders/CHANGELOG.md'),
    /^# Orders\n\n## 1\.1\.0 - \d{4}-\d\d-\d\d\n\n- Takes refunds\.\n\n## 1\.0\.0\n/,
  );
  const lower = await run(platform, 'bump', 'orders', '1.0.5');
  assert.equal(lower.code, 1);
  assert.match(
    lower.stderr,
    /orders is at 1\.1\.0, expected a version greater than that, found 1\.0\.5/,
  );
  assert.equal((await run(platform, 'bump', 'orders', 'huge')).code, 2);
  assert.equal((await run(platform, 'bump', 'nothing', 'patch')).code, 2);
});

test('bump leaves out versions that were released before', async (t) => {
  const platform = createPlatform(t);
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  await run(platform, 'lock', '--staged');
  platform.commit('Orders 1.0.1');
  platform.git('revert', '--no-edit', 'HEAD');
  assert.match((await run(platform, 'bump', 'orders', 'patch')).stdout, /orders 1\.0\.0 → 1\.0\.2/);
});

test('bump names the dependents whose range breaks; --dependents widens and bumps them', async (t) => {
  const platform = createPlatform(t);
  const named = await run(platform, 'bump', 'orders', 'major');
  assert.match(named.stdout, /communications depends on orders \^1\.0\.0, which 2\.0\.0 leaves/);
  assert.equal(json(platform, 'modules/Communications/module.json').version, '1.0.0');
  platform.git('checkout', '-q', '.');
  const { stdout } = await run(platform, 'bump', 'orders', 'major', '--dependents');
  assert.match(stdout, /communications 1\.0\.0 → 1\.0\.1, orders \^1\.0\.0 \|\| \^2\.0\.0/);
  const manifest = json(platform, 'modules/Communications/module.json');
  assert.equal(manifest.dependencies.orders, '^1.0.0 || ^2.0.0');
  assert.match(
    platform.read('modules/Communications/CHANGELOG.md'),
    /- Accept orders \^1\.0\.0 \|\| \^2\.0\.0\./,
  );
  assert.equal((await run(platform, 'compat')).code, 0);
});

test('new writes a module that locks, verifies and passes its own test', async (t) => {
  const platform = createPlatform(t);
  const { code, stdout } = await run(platform, 'new', 'StoreShopify');
  assert.equal(code, 0);
  assert.match(stdout, /modules\/StoreShopify is the module store-shopify 0\.1\.0/);
  assert.equal((await run(platform, 'lock')).code, 0);
  assert.equal((await run(platform, 'compat', '--ring', 'canary')).code, 0);
  execFileSync(process.execPath, ['--test', join(platform.path, 'modules/StoreShopify/tests/')], {
    env: { PATH: process.env['PATH'] },
    stdio: 'pipe',
  });
  assert.equal((await run(platform, 'new', 'StoreShopify')).code, 1);
  assert.equal((await run(platform, 'new', '../Evil')).code, 2);
  assert.ok(!existsSync(join(platform.path, 'Evil')));
});

/** A repository with modules/ and nothing of ringlock's. */
function bareModules(t: Parameters<typeof createRepository>[0]): Repository {
  const repository = createRepository(t);
  for (const module of defaultModules) {
    for (const [file, text] of Object.entries(moduleFiles(module))) {
      repository.write({ [`modules/${module.directory}/${file}`]: text });
    }
  }
  repository.commit('Modules');
  return repository;
}

test('init makes a platform whose rings verify', async (t) => {
  const repository = bareModules(t);
  const unasked = await run(repository, 'init');
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /Run it again with --yes/);
  assert.equal(repository.git('status', '--short'), '');
  const { code, stderr } = await run(repository, 'init', '--yes');
  assert.equal(code, 0, stderr);
  assert.equal(repository.read('VERSION'), '2.0.0\n', 'the least that every range takes');
  assert.match(repository.read('manifests/stable.ring.yaml'), /promotesFrom: edge/);
  assert.match(repository.read('manifests/edge.ring.yaml'), /promotesFrom: canary/);
  assert.match(repository.read('manifests/canary.ring.yaml'), /tracks: modules/);
  assert.deepEqual(
    json(repository, 'manifests/schema/lock.schema.json'),
    JSON.parse(
      execFileSync('cat', [join(import.meta.dirname, '../../manifests/schema/lock.schema.json')], {
        encoding: 'utf8',
      }),
    ),
  );
  repository.commit('Platform');
  const verified = await run(repository, 'verify');
  assert.equal(verified.code, 0, verified.stdout);
  assert.equal((await run(repository, 'lock', '--check')).code, 0);
  assert.equal(
    JSON.parse((await run(repository, 'hooks', 'status', '--json')).stdout).installed,
    true,
  );
});

test('init keeps what is there, to the byte', async (t) => {
  const repository = bareModules(t);
  repository.write({
    VERSION: '2.5.0\n',
    'manifests/canary.ring.yaml': '# ours\ntracks: modules\n',
  });
  const { code, stdout } = await run(repository, 'init', '--yes', '--rings', 'stable,canary');
  assert.equal(code, 0);
  assert.match(stdout, /kept {5}VERSION/);
  assert.equal(repository.read('manifests/canary.ring.yaml'), '# ours\ntracks: modules\n');
  assert.equal(json(repository, 'manifests/stable.lock.json').platform, '2.5.0');
  repository.commit('Platform');
  const again = await run(repository, 'init', '--yes', '--rings', 'stable,canary');
  assert.equal(again.code, 0);
  assert.equal(repository.git('status', '--short'), '');
});

test('a single ring tracks; a folder without modules/ is refused', async (t) => {
  const repository = bareModules(t);
  assert.equal((await run(repository, 'init', '--yes', '--rings', 'stable')).code, 0);
  assert.match(repository.read('manifests/stable.ring.yaml'), /tracks: modules/);
  const empty = createRepository(t);
  const refused = await run(empty, 'init', '--yes');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /has no modules folder/);
});

test('bash completes commands, subcommands and options; fish and zsh have scripts too', async (t) => {
  const repository = createRepository(t);
  const script = join(repository.path, 'completion.bash');
  writeFileSync(script, (await run(repository, 'completion', 'bash')).stdout);
  const complete = (...words: string[]) =>
    execFileSync(
      'bash',
      [
        '-c',
        `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _ringlock; echo "\${COMPREPLY[*]}"`,
        'bash',
        script,
        'ringlock',
        ...words,
      ],
      { encoding: 'utf8' },
    ).trim();
  assert.match(complete('lo'), /^lock$/);
  assert.match(complete('lock', '--ch'), /^--check$/);
  assert.match(complete('ring', 'pro'), /^promote$/);
  assert.match((await run(repository, 'completion', 'zsh')).stdout, /^#compdef ringlock/);
  assert.match((await run(repository, 'completion', 'fish')).stdout, /-a lock -d/);
  assert.equal((await run(repository, 'completion', 'csh')).code, 2);
});
