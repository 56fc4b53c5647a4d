import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import semver from 'semver';
import {
  describeViolation,
  findBumpViolations,
  findGraphViolations,
  type ModuleStates,
  movedModules,
  nextFreeVersion,
  type ReleasedVersions,
} from '../../src/repo/bump-rules.ts';

const none: ReleasedVersions = new Map();

function orders(version: string, sha256: string, path = 'modules/Orders'): ModuleStates {
  return new Map([['orders', { version, sha256: `sha256:${sha256}`, path }]]);
}

function released(versions: Record<string, string>): ReleasedVersions {
  const entries = Object.entries(versions).map(([v, d]) => [v, `sha256:${d}`] as const);
  return new Map([['orders', new Map(entries)]]);
}

function check(now: ModuleStates, baselines: ModuleStates[], known: ReleasedVersions = none) {
  const [violation] = findBumpViolations({ now, baselines, released: known });
  return violation === undefined ? undefined : `${violation.kind}: ${violation.mend}`;
}

test('refuses a changed module at its old version, and names the bump', () => {
  const base = orders('1.0.0', 'a');
  assert.equal(check(orders('1.0.0', 'b'), [base]), 'unbumped: ringlock bump orders patch');
  assert.equal(check(orders('1.0.1', 'b'), [base]), undefined);
  assert.equal(check(orders('1.0.0', 'a'), [base]), undefined);
  assert.equal(check(orders('1.0.0', 'a'), []), undefined);
});

test('compares prereleases by precedence and proposes the next one', () => {
  const base = orders('1.1.0-beta.1', 'a');
  assert.equal(
    check(orders('1.1.0-beta.1', 'b'), [base]),
    'unbumped: ringlock bump orders 1.1.0-beta.2',
  );
  assert.equal(check(orders('1.1.0-beta.2', 'b'), [base]), undefined);
  assert.equal(check(orders('1.1.0', 'b'), [base]), undefined);
  assert.match(check(orders('1.1.0-alpha.9', 'b'), [base]) ?? '', /^regression/);
});

test('refuses a lower version, but not a return to its released bytes', () => {
  const base = orders('1.0.1', 'b');
  const known = released({ '1.0.0': 'a', '1.0.1': 'b' });
  assert.equal(check(orders('1.0.0', 'a'), [base], known), undefined);
  assert.equal(
    check(orders('1.0.0', 'c'), [base], known),
    'regression: ringlock bump orders patch',
  );
  assert.equal(
    check(orders('0.9.0', 'c'), [base], known),
    'regression: ringlock bump orders 1.0.2',
  );
});

test('refuses other bytes under a released version and skips it for the next free one', () => {
  const known = released({ '1.0.0': 'a', '1.0.1': 'b' });
  const base = orders('1.0.0', 'a');
  assert.equal(
    check(orders('1.0.1', 'c'), [base], known),
    'released-bytes: ringlock bump orders patch',
  );
  assert.equal(check(orders('1.0.1', 'b'), [base], known), undefined);
  assert.equal(check(orders('1.0.2', 'c'), [base], known), undefined);
  // Unchanged since the baseline, and still not what was released.
  assert.match(check(orders('1.0.1', 'c'), [orders('1.0.1', 'c')], known) ?? '', /^released-bytes/);
});

test('keeps a parent’s version for a parent’s bytes in a merge, else wants one greater than both', () => {
  const ours = orders('1.0.1', 'b');
  const theirs = orders('1.0.1', 'c');
  assert.equal(check(orders('1.0.1', 'd'), [ours, theirs]), 'merge: ringlock bump orders patch');
  assert.equal(check(orders('1.0.1', 'b'), [ours, theirs]), undefined);
  assert.equal(check(orders('1.0.2', 'd'), [ours, theirs]), undefined);
  assert.match(
    check(orders('1.0.2', 'd'), [ours, orders('1.1.0', 'e')]) ?? '',
    /^merge: ringlock bump orders 1\.1\.1$/,
  );
  // Taking our side of what was released meanwhile with other bytes.
  assert.match(check(ours, [ours, theirs], released({ '1.0.1': 'c' })) ?? '', /^released-bytes/);
});

test('names the next version that was never released', () => {
  assert.equal(nextFreeVersion('1.0.0', 'patch', ['1.0.0', '1.0.1']), '1.0.2');
  assert.equal(nextFreeVersion('1.0.0', 'minor', ['1.1.0']), '1.2.0');
  assert.equal(nextFreeVersion('1.0.0', 'major', []), '2.0.0');
  assert.equal(nextFreeVersion('1.0.1-rc.1', 'patch', []), '1.0.1');
});

test('says which dependents a deleted module leaves behind', () => {
  const graph = new Map([
    [
      'communications',
      { version: '1.0.0', platformRange: undefined, dependencies: new Map([['orders', '^1.0.0']]) },
    ],
  ]);
  const [violation] = findGraphViolations(graph, '2.0.0', [orders('1.0.0', 'a')]);
  assert.match(violation?.message ?? '', /^orders is deleted while communications depends on it/);
});

test('notices a module whose directory changed', () => {
  const moved = movedModules(orders('1.0.0', 'a', 'modules/Sales'), orders('1.0.0', 'a'));
  assert.deepEqual(moved, ['orders moved from modules/Orders to modules/Sales']);
});

test('describes a violation with its files and what mends it', () => {
  const [violation] = findBumpViolations({
    now: orders('1.0.0', 'b'),
    baselines: [orders('1.0.0', 'a')],
    released: none,
  });
  assert.ok(violation);
  const files = Array.from({ length: 7 }, (_, index) => `modules/Orders/${index}.mjs`);
  const text = describeViolation(violation, files);
  assert.match(text, /orders was changed, but its version is still 1\.0\.0/);
  assert.match(text, /and 2 more/);
  assert.match(text, /ringlock bump orders patch$/);
});

const version = fc
  .tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.option(fc.nat(3)))
  .map(([a, b, c, pre]) => `${a}.${b}.${c}${pre === null ? '' : `-beta.${pre}`}`);
const digest = fc.constantFrom('a', 'b', 'c', 'd');
const state = fc.tuple(version, digest).map(([v, d]) => orders(v, d));
const history = fc.dictionary(version, digest).map(released);

test('what it lets pass never gives released bytes another digest, nor one version two', () => {
  fc.assert(
    fc.property(state, fc.array(state, { maxLength: 2 }), history, (now, baselines, known) => {
      if (findBumpViolations({ now, baselines, released: known }).length > 0) return;
      const module = now.get('orders');
      assert.ok(module);
      const release = known.get('orders')?.get(module.version);
      assert.ok(release === undefined || release === module.sha256);
      for (const before of baselines.map((baseline) => baseline.get('orders'))) {
        const keepsOne = baselines.some((b) => b.get('orders')?.sha256 === module.sha256);
        assert.ok(
          keepsOne ||
            release === module.sha256 ||
            semver.gt(module.version, before?.version ?? '0.0.0-0'),
        );
      }
    }),
  );
});

test('doing what the message says always mends it', () => {
  fc.assert(
    fc.property(state, fc.array(state, { maxLength: 2 }), history, (now, baselines, known) => {
      const [violation] = findBumpViolations({ now, baselines, released: known });
      if (violation === undefined) return;
      const wanted = violation.mend.split(' ').at(-1) ?? '';
      const taken = known.get('orders')?.keys() ?? [];
      const bumped = wanted === 'patch' ? nextFreeVersion(violation.to, 'patch', taken) : wanted;
      assert.equal(check(orders(bumped, 'new bytes'), baselines, known), undefined);
    }),
  );
});
