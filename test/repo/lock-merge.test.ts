import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatConflictedLock } from '../../src/repo/conflicted-lock-text.ts';
import { formatLock, type Lock, type LockEntry } from '../../src/repo/lock.ts';
import { asCommitted, parseConflictedLock } from '../../src/repo/lock-conflict.ts';
import {
  addedByBoth,
  describeLockConflicts,
  type LockSides,
  mergeLocks,
  withEntries,
} from '../../src/repo/lock-merge.ts';

const digest = (character: string) => `sha256:${character.repeat(64)}`;

function entry(version: string, more: Partial<LockEntry> = {}): LockEntry {
  return {
    ...{ version, directory: 'Orders', source: null, tree: 'a'.repeat(40), artifact: null },
    ...{ sha256: digest(version.at(-1) ?? '0'), file_count: 1, size_bytes: 10, released_at: null },
    ...more,
  };
}

function lock(modules: Readonly<Record<string, LockEntry>>, platform = '2.0.0'): Lock {
  return { ring: 'edge', platform, modules: new Map(Object.entries(modules)) };
}

const merged = (base: Lock, ours: Lock, theirs: Lock) => {
  const merge = mergeLocks({ base, ours, theirs });
  assert.deepEqual(describeLockConflicts(merge), []);
  return merge.lock;
};

const [v0, v1, v2] = [entry('1.0.0'), entry('1.0.1'), entry('1.0.2')] as const;

describe('merging locks', () => {
  it('takes what one side alone changed, added or removed', () => {
    const base = lock({ orders: v0, products: v0, quotes: v0 });
    const ours = lock({ orders: v1, products: v0, quotes: v0, alpha: v0 });
    const theirs = lock({ orders: v0, products: v2, beta: v0 });
    const expected = lock({ alpha: v0, beta: v0, orders: v1, products: v2 });
    assert.equal(formatLock(merged(base, ours, theirs)), formatLock(expected));
  });

  it('leaves to history which of two versions is taken, and names them', () => {
    const sides = { base: lock({ orders: v0 }), ours: lock({ orders: v1 }) };
    const merge = mergeLocks({ ...sides, theirs: lock({ orders: v2 }) });
    assert.deepEqual(
      merge.contested.map(({ alias, greater, lesser }) => [alias, greater, lesser]),
      [['orders', v2, v1]],
    );
    assert.deepEqual(describeLockConflicts(merge), [
      'orders: 1.0.1 on our side, 1.0.2 on theirs, and history does not show that one descends from the other',
    ]);
  });

  it('never undoes a rollback, a removal or one of two releases of the same version', () => {
    const base = lock({ orders: v1 });
    const other = entry('1.0.2', { sha256: digest('f') });
    for (const [ours, theirs, message] of [
      [{ orders: v0 }, { orders: v2 }, /^orders: 1\.0\.0 on our .*it was 1\.0\.1: one side went/],
      [{}, { orders: v2 }, /^orders: absent on our side, .*removed on one side, changed on the/],
      [{ orders: v2 }, { orders: other }, /with the digests sha256:2222.* and sha256:ffff/],
    ] as const) {
      const merge = mergeLocks({ base, ours: lock(ours), theirs: lock(theirs) });
      assert.deepEqual(merge.contested, []);
      assert.match(describeLockConflicts(merge).join(), message);
    }
  });

  it('keeps both a package that one side recorded and a place that the other changed', () => {
    const artifact = { url: 'file:///orders.zip', sha256: digest('9'), size_bytes: 5 };
    const released = { artifact, released_at: '2026-11-24T00:00:00Z' };
    const moved = { directory: 'Orders2', tree: 'b'.repeat(40) };
    const result = merged(
      lock({ orders: v0 }),
      lock({ orders: entry('1.0.0', released) }),
      lock({ orders: entry('1.0.0', moved) }),
    );
    assert.deepEqual(result.modules.get('orders'), entry('1.0.0', { ...released, ...moved }));
    // Where the package is has changed no pin: it holds up neither a version nor a removal.
    const ours = lock({ orders: entry('1.0.0', released) });
    assert.deepEqual(
      merged(lock({ orders: v0 }), ours, lock({ orders: v1 })).modules,
      lock({ orders: v1 }).modules,
    );
    assert.equal(merged(lock({ orders: v0 }), ours, lock({})).modules.size, 0);
  });

  it('moves the platform on, unless a side went back', () => {
    const at = (platform: string) => lock({}, platform);
    assert.equal(merged(at('2.0.0'), at('2.1.0'), at('2.2.0')).platform, '2.2.0');
    assert.equal(merged(at('2.0.0'), at('1.9.0'), at('2.0.0')).platform, '1.9.0');
    const back = mergeLocks({ base: at('2.0.0'), ours: at('1.9.0'), theirs: at('2.2.0') });
    assert.deepEqual(describeLockConflicts(back), [
      'platform: 1.9.0 on our side, 2.2.0 on theirs, and one went back from 2.0.0',
    ]);
  });

  it('has a base without modules where both sides added the lock, and knows less without any', () => {
    const sides = { ours: lock({ orders: v0, alpha: v0 }), theirs: lock({ orders: v0 }, '2.1.0') };
    const added = mergeLocks({ base: addedByBoth, ...sides });
    assert.deepEqual([...added.lock.modules.keys()], ['alpha', 'orders']);
    assert.equal(added.lock.platform, '2.1.0');
    const unknown = mergeLocks({ base: undefined, ...sides });
    assert.deepEqual(describeLockConflicts(unknown), [
      'alpha: 1.0.0 on our side, absent on theirs, and what was before is not known',
    ]);
  });

  const arbitraryEntry = fc
    .record({
      version: fc.constantFrom('0.9.0', '1.0.0', '1.0.1', '2.0.0-beta.1'),
      sha256: fc.constantFrom('a', 'b').map(digest),
      tree: fc.constantFrom('c', 'd', 'e').map((character) => character.repeat(40)),
      source: fc.constantFrom(null, 'gitlab:a/b'),
      artifact: fc.constantFrom(
        null,
        { url: 'file:///a', sha256: digest('1'), size_bytes: 1 },
        { url: 'file:///b', sha256: digest('2'), size_bytes: 2 },
      ),
    })
    .map(({ version, ...more }) => entry(version, more));
  const arbitraryLock = fc
    .record({
      modules: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'z-z'), arbitraryEntry),
      platform: fc.constantFrom('1.9.0', '2.0.0', '2.1.0'),
    })
    .map(({ modules, platform }) => lock(modules, platform));
  const arbitrarySides = fc.record<LockSides & { base: Lock }>({
    base: arbitraryLock,
    ours: arbitraryLock,
    theirs: arbitraryLock,
  });
  /** What is decided, as bytes, and what is not, whoever merges whom. */
  const summary = ({ base, ours, theirs }: LockSides, swapped = false) => {
    const { lock: decided, contested, conflicts, platform } = mergeLocks({ base, ours, theirs });
    const side = (entry: { ours: unknown; theirs: unknown }) =>
      swapped ? [entry.theirs, entry.ours] : [entry.ours, entry.theirs];
    return {
      text: formatLock(platform === undefined ? decided : { ...decided, platform: '0.0.0' }),
      contested: contested.map((each) => [each.alias, side(each), each.greater, each.lesser]),
      conflicts: conflicts.map((each) => [each.alias, side(each)]),
      platform: platform && side(platform),
    };
  };

  it('property: whoever merges whom, the result is the same', () => {
    fc.assert(
      fc.property(arbitrarySides, ({ base, ours, theirs }) => {
        const swapped = summary({ base, ours: theirs, theirs: ours }, true);
        assert.deepEqual(summary({ base, ours, theirs }), swapped);
      }),
      { numRuns: 100 },
    );
  });

  it('property: a side that changed nothing takes the other whole, and the same change is one', () => {
    fc.assert(
      fc.property(arbitraryLock, arbitraryLock, (base, changed) => {
        const expected = formatLock(changed);
        assert.equal(formatLock(merged(base, base, changed)), expected);
        assert.equal(formatLock(merged(base, changed, base)), expected);
        assert.equal(formatLock(merged(base, changed, changed)), expected);
      }),
      { numRuns: 100 },
    );
  });

  it('property: a text with markers is each side’s lock again, with every field of its entries', () => {
    fc.assert(
      fc.property(
        arbitrarySides,
        fc.boolean(),
        fc.integer({ min: 7, max: 12 }),
        (sides, showsBase, size) => {
          const merge = mergeLocks(sides);
          const open = [...merge.contested, ...merge.conflicts];
          fc.pre(open.length > 0 || merge.platform !== undefined);
          const choice = (name: 'ours' | 'base' | 'theirs') => {
            const entries = open.map((each) => [each.alias, each[name]] as const);
            const whole = withEntries(merge.lock, new Map(entries));
            return { ...whole, platform: merge.platform?.[name] ?? whole.platform };
          };
          const [ours, base, theirs] = [choice('ours'), choice('base'), choice('theirs')];
          const markers = { size, ours: 'HEAD', base: 'base', theirs: 'topic', showsBase };
          const text = formatConflictedLock({ ours, base, theirs }, markers);
          const read = parseConflictedLock(text, 'edge');
          assert.equal(formatLock(read.ours), formatLock(ours));
          assert.equal(formatLock(read.theirs), formatLock(theirs));
          assert.equal(text.includes(`${'|'.repeat(size)} base\n`), showsBase);
        },
      ),
      { numRuns: 100 },
    );
  });
});

it('an entry that git merged line by line is taken as its branch has it', () => {
  const whole = entry('1.0.1', { file_count: 4, source: 'gitlab:a/b' });
  const mixed = entry('1.0.1', { file_count: 3 });
  const side = asCommitted(
    lock({ orders: mixed, products: v1 }),
    lock({ orders: whole, products: v0 }),
  );
  assert.deepEqual(side.modules, lock({ orders: whole, products: v1 }).modules);
});
