import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { type PromotionWish, proposePromotion } from '../../src/promotion/promote-modules.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import { lockedAt, type Platform } from '../support/platform.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { gatedPlatform, lockCanary, sourcesOf } from './gated-platform.ts';

after(stopOwnPostgres);

async function propose(platform: Platform, wish: Partial<PromotionWish>) {
  return proposePromotion(
    await findRepository(platform.path),
    {
      ...{ from: 'canary', to: 'edge', modules: ['orders'], withDependencies: false },
      ...{ allowDowngrade: false, movePlatform: false, reason: undefined, override: undefined },
      ...wish,
    },
    sourcesOf(),
    openPackages,
  );
}

test('what needs each other goes together, with the platform and the migrations that come', async (t) => {
  const platform = await gatedPlatform(t, 'override: false');
  platform.write({
    VERSION: '2.1.0\n',
    'modules/Payments/module.json':
      '{"name": "Payments", "alias": "payments", "version": "0.1.0"}\n',
    'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds ();\n',
  });
  platform.change('Products');
  platform.setVersion('Products', '1.3.0', { compatibility: { platform: '^2.1.0' } });
  platform.setVersion('Orders', '1.2.0', { dependencies: { products: '^1.2.0', payments: '*' } });
  await lockCanary(platform);
  platform.commit('Products, Orders, Payments');
  const alone = await errorOf(propose(platform, {}));
  assert.equal(alone.code, 'incompatible-lock');
  assert.match(alone.message, /depends on payments \*, which is not there/);
  assert.match(alone.message, /depends on products \^1\.2\.0, found 1\.0\.0/);
  assert.match(alone.hint ?? '', /--with-dependencies.*--platform/);
  const old = await errorOf(propose(platform, { withDependencies: true }));
  assert.match(old.message, /products 1\.3\.0 is incompatible: platform 2\.0\.0 does not satisfy/);
  const together = { withDependencies: true, movePlatform: true };
  const { changes, platform: moved, message, migrations } = await propose(platform, together);
  assert.deepEqual(
    changes.map(({ alias, after }) => `${alias} ${after.version}`),
    ['payments 0.1.0', 'products 1.3.0', 'orders 1.2.0'],
  );
  assert.deepEqual(moved, { from: '2.0.0', to: '2.1.0' });
  assert.deepEqual([...migrations], [['orders', ['0001_refunds']]]);
  assert.match(
    message,
    /^Promote 3 modules from canary to edge\n\n- payments: new → 0\.1\.0 [\s\S]*\n {2}migration: 0001_refunds\n- platform: 2\.0\.0 → 2\.1\.0\n$/,
  );
  const all = await propose(platform, { modules: undefined, movePlatform: true });
  assert.deepEqual(
    all.changes.map(({ alias }) => alias),
    ['payments', 'products', 'orders'],
  );
  const only = await propose(platform, { modules: [], movePlatform: true });
  assert.deepEqual(
    [only.changes, only.message.split('\n', 1)],
    [[], ['Promote platform 2.1.0 from canary to edge']],
  );
});

test('ring promote commits the lock alone, with the reason and the override', async (t) => {
  const platform = await gatedPlatform(
    t,
    'override: true\nrequires: [{command: "exit 1", name: tests}]',
  );
  const promote = ['ring', 'promote', 'Orders', '--from', 'canary', '--to', 'edge'];
  const closed = await runCli(platform.path, promote);
  assert.equal(closed.code, 1);
  assert.equal(
    closed.stderr,
    'ringlock: orders 1.1.0 may not come to edge:\n  orders 1.1.0\n    closed    requires tests: it ended with 1, expected 0\n  Do what is missing, then run it again. Over it: --override "reason" --commit\n',
  );
  const bare = await runCli(platform.path, [...promote, '--override', 'outage']);
  assert.deepEqual([bare.code, platform.git('status', '--porcelain')], [2, '']);
  platform.write({ 'README.md': 'being edited\n' });
  platform.git('add', 'README.md');
  const options = ['--override', 'outage', '--reason', 'Refunds fail.', '--commit', '--json'];
  const { code, stdout, stderr } = await runCli(platform.path, [...promote, ...options]);
  assert.equal(code, 0, stderr);
  const answer = JSON.parse(stdout);
  assert.deepEqual(
    [answer.alias, answer.changed, answer.overridden, answer.commit, answer.next],
    ['orders', true, ['orders'], platform.git('rev-parse', 'HEAD'), 'git push'],
  );
  assert.equal(
    platform.git('show', '--format=', '--name-only', 'HEAD'),
    'manifests/edge.lock.json',
  );
  assert.match(
    platform.git('show', '-s', '--format=%B'),
    /\n\nRefunds fail\.\n\nRinglock-Override: outage$/,
  );
  assert.equal(
    lockedAt(platform, 'HEAD', 'edge').find(({ alias }) => alias === 'orders')?.version,
    '1.1.0',
  );
});
