import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { deploy, reconcileOnce, release, statusIfAny } from '../support/deploy.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

after(stopOwnPostgres);

/** Orders 1.0.0, 1.0.1 and 1.0.2 were in canary; stable and edge pin 1.0.0. */
function createReleased(t: TestContext): Platform {
  const platform = createPlatform(t);
  for (const version of ['1.0.1', '1.0.2']) {
    release(platform, 'Orders', version);
    deploy(platform, `Orders ${version}`);
  }
  return platform;
}

function pinned(platform: Platform, ring: string, alias = 'orders'): string | undefined {
  return JSON.parse(platform.read(`manifests/${ring}.lock.json`)).modules[alias]?.version;
}

async function right(platform: Platform): Promise<void> {
  for (const args of [['lock', '--check'], ['verify'], ['compat', '--ring', 'stable']]) {
    const { code, stdout, stderr } = await runCli(platform.path, args);
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  }
}

describe('install and upgrade on a lock', { concurrency: 2 }, () => {
  it('writes one entry, tells the next git step, and with --commit commits only that', async (t) => {
    const platform = createReleased(t);
    const before = platform.read('manifests/stable.lock.json');
    const args = ['upgrade', 'orders', '--to', '1.0.1', '--ring', 'stable'];
    const first = await runCli(platform.path, args);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /git commit -m "Upgrade orders to 1\.0\.1 in stable" -- manifests/);
    assert.equal(platform.git('status', '--porcelain'), ' M manifests/stable.lock.json');
    const changed = JSON.parse(platform.read('manifests/stable.lock.json'));
    const canary = JSON.parse(platform.git('show', 'HEAD~1:manifests/canary.lock.json'));
    assert.deepEqual(changed.modules.orders, canary.modules.orders);
    assert.deepEqual(changed, {
      ...JSON.parse(before),
      modules: { ...JSON.parse(before).modules, orders: canary.modules.orders },
    });
    const edited = await runCli(platform.path, [
      ...args.slice(0, 3),
      '1.0.2',
      ...args.slice(4),
      '--commit',
    ]);
    assert.equal(edited.code, 1);
    assert.match(edited.stderr, /not committed, --commit would take them along/);
    platform.git('checkout', '-q', '--', 'manifests');
    platform.write({ 'README.md': '# Staged\n' });
    platform.git('add', 'README.md');
    const done = await runCli(platform.path, [...args, '--commit']);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(
      platform.git('show', '--name-only', '--format=%s', 'HEAD').replaceAll('\n\n', '\n'),
      'Upgrade orders to 1.0.1 in stable\nmanifests/stable.lock.json',
    );
    assert.match(platform.git('status', '--porcelain'), /README/);
    await right(platform);
  });

  it('refuses what another command is for, an unknown version, and a tracking ring', async (t) => {
    const platform = createReleased(t);
    for (const [args, message] of [
      [
        ['install', 'orders@1.0.1', '--ring', 'stable'],
        /has orders 1\.0\.0.*\n.*ringlock upgrade orders --to 1\.0\.1 --ring stable/,
      ],
      [
        ['upgrade', 'orders', '--to', '0.9.0', '--ring', 'stable'],
        /lower.*\n.*ringlock rollback orders/,
      ],
      [
        ['rollback', 'orders', '--to', '1.0.2', '--ring', 'stable'],
        /higher.*\n.*ringlock upgrade orders/,
      ],
      [
        ['upgrade', 'orders', '--to', '7.0.0', '--ring', 'stable'],
        /7\.0\.0 is in no branch.*\n.*Versions there: 1\.0\.2, 1\.0\.1, 1\.0\.0\./,
      ],
      [['upgrade', 'orders', '--to', '1.0.1', '--ring', 'canary'], /tracks modules/],
      [['rollback', 'orders', '--ring', 'stable'], /no version before 1\.0\.0 in stable/],
    ] as const) {
      const { code, stderr } = await runCli(platform.path, args);
      assert.notEqual(code, 0, args.join(' '));
      assert.match(stderr, message);
    }
    assert.equal(platform.git('status', '--porcelain'), '');
  });

  it('refuses an upgrade whose needs the ring lacks, and takes the whole lock in one go', async (t) => {
    const platform = createReleased(t);
    release(platform, 'Products', '2.0.0');
    platform.setVersion('Orders', '2.0.0', { dependencies: { products: '^2.0.0' } });
    platform.setVersion('Communications', '2.0.0', { dependencies: { orders: '^2.0.0' } });
    deploy(platform, 'Two');
    platform.git('mv', 'manifests/edge.ring.yaml', 'manifests/edge.ring.yaml.off');
    platform.write({ 'manifests/stable.ring.yaml': 'promotesFrom: canary\n' });
    const one = await runCli(platform.path, [
      'upgrade',
      'orders',
      '--to',
      '2.0.0',
      '--ring',
      'stable',
    ]);
    assert.equal(one.code, 1);
    assert.match(one.stderr, /cannot run in stable[\s\S]*products/);
    assert.equal(pinned(platform, 'stable'), '1.0.0');
    const all = await runCli(platform.path, ['upgrade', '--all', '--ring', 'stable', '--json']);
    assert.equal(all.code, 0, all.stderr + all.stdout);
    assert.deepEqual(
      JSON.parse(all.stdout).changes.map(({ alias }: { alias: string }) => alias),
      ['products', 'orders', 'communications'],
    );
    assert.equal(pinned(platform, 'stable'), '2.0.0');
  });

  it('refuses a version with two unreleased contents, until one is tagged', async (t) => {
    const platform = createReleased(t);
    for (const branch of ['one', 'two']) {
      platform.git('switch', '-q', '-c', branch, 'main');
      release(platform, 'Orders', '1.0.9');
      platform.change('Orders', branch);
      platform.git('commit', '-qam', branch);
    }
    platform.git('switch', '-q', 'main');
    const args = ['upgrade', 'orders', '--to', '1.0.9', '--ring', 'stable'];
    const twice = await runCli(platform.path, args);
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /1\.0\.9 has other bytes in/);
    platform.git('tag', 'orders@1.0.9', 'one');
    const tagged = await runCli(platform.path, args);
    assert.equal(tagged.code, 0, tagged.stderr);
    const { tree } = JSON.parse(platform.read('manifests/stable.lock.json')).modules.orders;
    assert.equal(tree, platform.git('rev-parse', 'one:modules/Orders'));
  });
});

describe('rollback of a ring', { concurrency: 2 }, () => {
  it('goes two back when done twice, and keeps no hold in a pinned ring', async (t) => {
    const platform = createReleased(t);
    for (const version of ['1.0.1', '1.0.2']) {
      const { code, stderr } = await runCli(platform.path, [
        'upgrade',
        'orders',
        '--to',
        version,
        '--ring',
        'stable',
        '--commit',
      ]);
      assert.equal(code, 0, stderr);
    }
    const start = platform.git('show', 'HEAD~2:manifests/stable.lock.json');
    for (const version of ['1.0.1', '1.0.0']) {
      const { code, stderr } = await runCli(platform.path, [
        'rollback',
        'orders',
        '--ring',
        'stable',
        '--commit',
        '--reason',
        'refunds',
      ]);
      assert.equal(code, 0, stderr);
      assert.equal(pinned(platform, 'stable'), version);
    }
    assert.equal(platform.read('manifests/stable.lock.json').trimEnd(), start);
    assert.match(
      platform.git('log', '-1', '--format=%B'),
      /Roll back orders to 1\.0\.0 in stable[\s\S]*refunds/,
    );
    const third = await runCli(platform.path, ['rollback', 'orders', '--ring', 'stable']);
    assert.equal(third.code, 1);
    await right(platform);
  });

  it('is a committed hold in a tracking ring, which lock obeys', async (t) => {
    const platform = createReleased(t);
    const first = await runCli(platform.path, [
      'rollback',
      'orders',
      '--ring',
      'canary',
      '--reason',
      'refunds',
      '--commit',
    ]);
    assert.equal(first.code, 0, first.stderr);
    assert.equal(pinned(platform, 'canary'), '1.0.1');
    assert.match(
      platform.read('manifests/canary.ring.yaml'),
      /version: 1\.0\.1\n\s+reason: refunds/,
    );
    await right(platform);
    const second = await runCli(platform.path, [
      'rollback',
      'orders',
      '--ring',
      'canary',
      '--commit',
    ]);
    assert.equal(second.code, 0, second.stderr);
    assert.equal(pinned(platform, 'canary'), '1.0.0');
    await right(platform);
  });
});

describe('on a root at once', { concurrency: 2 }, () => {
  it('upgrades and holds without a reconciler, and self-healing leaves it', async (t) => {
    const platform = createReleased(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    assert.equal((await reconcileOnce({ repo, root, ring: 'stable' })).code, 0);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    const refusedInstall = await runCli(platform.path, ['install', 'orders@1.0.2', '--root', root]);
    assert.equal(refusedInstall.code, 1);
    assert.match(refusedInstall.stderr, /ringlock upgrade orders --to 1\.0\.2 --root/);
    const done = await runCli(platform.path, [
      'upgrade',
      'orders',
      '--to',
      '1.0.2',
      '--root',
      root,
    ]);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(servedVersion(root, 'Orders'), '1.0.2');
    assert.equal((await reconcileOnce({ repo, root, ring: 'stable' })).code, 0);
    assert.equal(servedVersion(root, 'Orders'), '1.0.2');
    const back = await runCli(root, ['rollback', 'orders', '--root', root]);
    assert.equal(back.code, 0, back.stderr);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    assert.equal(platform.git('status', '--porcelain'), '');
  });

  it('holds nothing when its pass cannot even begin', async (t) => {
    const platform = createReleased(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    assert.equal((await reconcileOnce({ repo, root, ring: 'stable' })).code, 0);
    const upgrade = ['upgrade', 'orders', '--to', '1.0.2', '--root', root];
    const failed = await runCli(platform.path, [...upgrade, '--repo', 'ftp://127.0.0.1/x.git']);
    assert.notEqual(failed.code, 0, failed.stdout);
    assert.equal((await reconcileOnce({ repo, root, ring: 'stable' })).code, 0);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
  });

  it('asks the reconciler that owns the root, which writes the audit, and refuses what it would not hear', async (t) => {
    const platform = createReleased(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const databaseUrl = await createDatabase();
    const environment = { DATABASE_URL: databaseUrl };
    const watching = startWatching(
      t,
      { repo, root, ring: 'stable' },
      ['--interval', '300ms'],
      environment,
    );
    await waitUntil('it serves', () => statusIfAny(root)?.state === 'converged');
    const upgrade = ['upgrade', 'orders', '--to', '1.0.1', '--root', root];
    const skipped = await runCli(platform.path, [...upgrade, '--skip-migrations']);
    assert.equal(skipped.code, 1);
    assert.match(skipped.stderr, /a reconciler owns/);
    const done = await runCli(platform.path, [...upgrade, '--json']);
    assert.equal(done.code, 0, done.stderr + watching.log());
    assert.equal(JSON.parse(done.stdout).by, 'reconciler');
    assert.equal(servedVersion(root, 'Orders'), '1.0.1');
    await waitUntil('the audit has it', async () => {
      const args = ['history', 'orders', '--ring', 'stable', '--to', '1.0.1', '--json'];
      const { stdout } = await runCli(platform.path, args, environment);
      const { events } = JSON.parse(stdout);
      return events?.some(
        ({ action, outcome }: Record<string, string>) =>
          action === 'upgrade' && outcome === 'succeeded',
      );
    });
  });
});
