import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import {
  checkChangedPins,
  describeRefusals,
  gateExitCode,
} from '../../src/promotion/check-changed-pins.ts';
import type { Platform } from '../support/platform.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { gatedPlatform, sourcesOf } from './gated-platform.ts';

after(stopOwnPostgres);

const during = new Date('2026-12-24T12:00:00Z');
const frozen = 'override: true\nfreeze: [{from: 2026-12-20, to: 2027-01-02, reason: holidays}]';

async function check(platform: Platform, before: string, now = during, after = 'HEAD') {
  const commits = platform.git('rev-list', `${before}..HEAD`).split('\n').filter(Boolean);
  const repository = await findRepository(platform.path);
  return checkChangedPins(repository, { before, after, commits }, sourcesOf({ now }));
}

interface LockText {
  platform: string;
  modules: Record<string, { version: string; sha256: string }>;
}

/** Edits edge's lock by hand. */
function edit(platform: Platform, change: (edge: LockText, canary: LockText) => void): void {
  const [edge, canary] = ['edge', 'canary'].map((ring) =>
    JSON.parse(platform.read(`manifests/${ring}.lock.json`)),
  );
  change(edge, canary);
  platform.write({ 'manifests/edge.lock.json': `${JSON.stringify(edge, null, 2)}\n` });
}

const promoteByHand = (edge: LockText, canary: LockText) => {
  if (canary.modules['orders'] !== undefined) edge.modules['orders'] = canary.modules['orders'];
};

test('a bare edit of a pinned lock skips no gate, also when it takes the gates away with it', async (t) => {
  const platform = await gatedPlatform(t, frozen);
  const before = platform.git('rev-parse', 'HEAD');
  assert.deepEqual(await check(platform, before), []);
  edit(platform, promoteByHand);
  platform.commit('Orders', {
    'manifests/edge.ring.yaml': 'promotesFrom: canary\n',
    'README.md': 'changed\n',
  });
  const checks = await check(platform, before);
  assert.deepEqual(
    checks.map(({ ring, refused }) => [ring, refused.map(({ alias }) => alias)]),
    [['edge', ['orders']]],
  );
  assert.equal(gateExitCode(checks), 1);
  const [edge] = checks;
  assert.match(
    edge ? describeRefusals(edge).join('\n') : '',
    /^manifests\/edge\.lock\.json:\n {2}orders 1\.1\.0\n {4}closed {4}freeze: frozen from 2026-12-20 to 2027-01-02 UTC: holidays; opens 2027-01-03T00:00:00Z$/,
  );
  const open = await check(platform, before, new Date('2027-02-01T00:00:00Z'));
  assert.deepEqual(open[0]?.refused, []);
  assert.equal(gateExitCode(open), 0);
  // The same as a tree, as a merged result is.
  const tree = platform.git('rev-parse', 'HEAD^{tree}');
  assert.equal((await check(platform, before, during, tree))[0]?.refused.length, 1);
});

test('a freeze also holds what brings no version; going back is free', async (t) => {
  const platform = await gatedPlatform(t, frozen);
  const first = platform.git('rev-parse', 'HEAD');
  edit(platform, promoteByHand);
  const before = platform.commit('Orders');
  edit(platform, (edge) => {
    delete edge.modules['mobile-app'];
    edge.platform = '2.1.0';
  });
  platform.commit('By hand');
  const [edge] = await check(platform, before);
  assert.deepEqual(
    edge?.refused.map(({ alias, version }) => [alias, version]),
    [
      ['mobile-app', null],
      [null, '2.1.0'],
    ],
  );
  platform.git('reset', '-q', '--hard', before);
  platform.git('revert', '--no-edit', 'HEAD');
  const [reverted] = await check(platform, before);
  assert.deepEqual(
    reverted?.changes.map(({ alias, is_return }) => [alias, is_return]),
    [['orders', true]],
  );
  assert.deepEqual(reverted?.refused, []);
  // The first commit of all has nothing before it.
  assert.equal(platform.git('rev-parse', 'HEAD~1'), before);
  assert.notEqual(first, before);
});

test('an override in a commit goes over the gates for what that commit changes, and nothing else', async (t) => {
  const platform = await gatedPlatform(t, frozen);
  const before = platform.git('rev-parse', 'HEAD');
  platform.commit('Something else\n\nRinglock-Override: for nothing');
  edit(platform, (edge) => {
    delete edge.modules['mobile-app'];
  });
  platform.commit('Remove it');
  edit(platform, promoteByHand);
  const commit = platform.commit('Orders\n\nRinglock-Override: the shop is down');
  const [edge] = await check(platform, before);
  assert.deepEqual(edge?.overridden, [{ alias: 'orders', reason: 'the shop is down', commit }]);
  assert.deepEqual(
    edge?.refused.map(({ alias }) => alias),
    ['mobile-app'],
  );
  // Changed again after it, it is no longer what was overridden.
  edit(platform, (lock) => {
    lock.modules['orders'] = {
      ...lock.modules['orders'],
      version: '1.1.1',
      sha256: `sha256:${'1'.repeat(64)}`,
    };
  });
  platform.commit('Orders again');
  const [later] = await check(platform, before);
  assert.equal(later?.overridden.length, 0);
  assert.equal(later?.refused.length, 2);
});

test('an override counts only where the ring allowed it before', async (t) => {
  const platform = await gatedPlatform(t, frozen.replace('override: true\n', ''));
  const before = platform.git('rev-parse', 'HEAD');
  edit(platform, promoteByHand);
  platform.write({
    'manifests/edge.ring.yaml': `${platform.read('manifests/edge.ring.yaml')}  override: true\n`,
  });
  platform.commit('Orders\n\nRinglock-Override: because I say so');
  const checks = await check(platform, before);
  assert.equal(checks[0]?.refused.length, 1);
});

test('what cannot be judged here is refused with 3', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 1h');
  const before = platform.git('rev-parse', 'HEAD');
  edit(platform, promoteByHand);
  platform.commit('Orders');
  assert.equal(gateExitCode(await check(platform, before)), 3);
});
