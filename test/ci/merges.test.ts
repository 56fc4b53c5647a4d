import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeChangelog } from '../../src/ci/merge-module.ts';
import { mergedLock } from '../../src/ci/merged-lock.ts';
import { changelogSection } from '../../src/repo/changelog.ts';
import { formatLock, type LockEntry } from '../../src/repo/lock.ts';

const date = '2026-11-24';
const base = '# Orders\n\n## 1.0.0\n\n- First.\n';

function entry(version: number): LockEntry {
  return {
    ...{ version: `1.0.${version}`, directory: null, source: null, tree: null, artifact: null },
    ...{ sha256: `sha256:${String(version).repeat(64)}`, file_count: 1, size_bytes: 1 },
    released_at: null,
  };
}

function lock(pins: Readonly<Record<string, number>>, platform = '2.0.0'): string {
  const sorted = Object.entries(pins).sort(([a], [b]) => (a < b ? -1 : 1));
  const modules = new Map(sorted.map(([alias, version]) => [alias, entry(version)]));
  return formatLock({ ring: 'edge', platform, modules });
}

const pins = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 3 }));

test('a merged lock has each entry of whoever moved it, and the change’s where both did', () => {
  fc.assert(
    fc.property(pins, pins, pins, (was, is, there) => {
      const sides = { base: lock(was), change: lock(is), target: lock(there) };
      const expected = Object.fromEntries(
        ['a', 'b', 'c', 'd'].flatMap((alias) => {
          const version = was[alias] === is[alias] ? there[alias] : is[alias];
          return version === undefined ? [] : [[alias, version]];
        }),
      );
      assert.equal(mergedLock('edge', sides), lock(expected));
    }),
    { numRuns: 60 },
  );
});

test('a merged lock’s platform is of whoever moved it; a lock that one side lacks is the change’s', () => {
  const [old, next] = [lock({ a: 0 }), lock({ a: 0 }, '2.1.0')];
  const both = { base: old, change: lock({ a: 1 }), target: next };
  assert.equal(mergedLock('edge', both), lock({ a: 1 }, '2.1.0'));
  assert.equal(mergedLock('edge', { base: undefined, change: next, target: undefined }), next);
  assert.equal(mergedLock('edge', { base: old, change: undefined, target: old }), undefined);
  assert.equal(mergedLock('edge', { base: old, change: old, target: undefined }), undefined);
});

test('what a branch wrote under its versions comes under the new one, above the target’s', () => {
  const ours =
    '# Orders\n\n## 1.0.2\n\n- Fix.\n\n## 1.0.1 - 2026-11-01\n\n- Mine.\n\n## 1.0.0\n\n- First.\n';
  const theirs = '# Orders\n\n## 1.0.1\n\n- Theirs.\n\n## 1.0.0\n\n- First.\n';
  const merged = mergeChangelog({ base, ours, theirs }, '1.0.3', date) ?? '';
  assert.equal(changelogSection(merged, '1.0.3'), '- Fix.\n- Mine.');
  assert.equal(changelogSection(merged, '1.0.1'), '- Theirs.');
  assert.equal(changelogSection(merged, '1.0.0'), '- First.');
  assert.ok(merged.startsWith(`# Orders\n\n## 1.0.3 - ${date}\n`));
});

test('a changelog in which a branch did more than add sections is left to people', () => {
  const ours = '# Orders\n\n## 1.0.1\n\n- Mine.\n\n## 1.0.0\n\n- First, and more.\n';
  assert.equal(mergeChangelog({ base, ours, theirs: base }, '1.0.2', date), undefined);
  const beside = `${ours.replace(', and more', '')}\n## How we write\n\nShort.\n`;
  assert.equal(mergeChangelog({ base, ours: beside, theirs: base }, '1.0.2', date), undefined);
  assert.equal(mergeChangelog({ base, ours: base, theirs: base }, '1.0.2', date), undefined);
});

test('a changelog that both sides began keeps both', () => {
  const [ours, theirs] = ['# A\n\n## 0.1.0\n\n- Mine.\n', '# A\n\n## 0.1.0\n\n- Theirs.\n'];
  const merged = mergeChangelog({ base: undefined, ours, theirs }, '0.1.1', date) ?? '';
  assert.equal(changelogSection(merged, '0.1.1'), '- Mine.');
  assert.equal(changelogSection(merged, '0.1.0'), '- Theirs.');
  const other = ours.replace('# A', '# Another');
  assert.equal(mergeChangelog({ base: undefined, ours: other, theirs }, '0.1.1', date), undefined);
});
