import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatLock, type Lock, type LockEntry, parseLock } from '../../src/repo/lock.ts';

const digests = fc.nat().map((n) => `sha256:${n.toString(16).padStart(64, '0')}`);
const entries: fc.Arbitrary<LockEntry> = fc.record(
  {
    version: fc.tuple(fc.nat(9), fc.nat(99), fc.nat(99)).map((parts) => parts.join('.')),
    directory: fc.option(fc.stringMatching(/^[A-Z][A-Za-z0-9]{0,12}$/)),
    source: fc.option(fc.constant('gitlab:platform/modules/orders')),
    tree: fc.option(fc.nat().map((n) => n.toString(16).padStart(40, '0'))),
    artifact: fc.option(
      fc.record(
        {
          url: fc.constant('https://packages.example.com/orders.zip'),
          sha256: digests,
          size_bytes: fc.nat(),
        },
        { noNullPrototype: true },
      ),
    ),
    sha256: digests,
    file_count: fc.nat(),
    size_bytes: fc.nat(),
    released_at: fc.option(fc.constant('2026-11-24T08:00:00Z')),
  },
  { noNullPrototype: true },
);
const locks: fc.Arbitrary<Lock> = fc
  .dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), entries, { noNullPrototype: true })
  .map((modules) => ({
    ring: 'edge',
    platform: '2.0.0',
    modules: new Map(Object.entries(modules)),
  }));

test('property: a lock is the same bytes whatever order its modules come in', () => {
  fc.assert(
    fc.property(locks, (lock) => {
      const reversed = new Map([...lock.modules].reverse());
      assert.equal(formatLock({ ...lock, modules: reversed }), formatLock(lock));
    }),
  );
});

test('property: what is written is read back the same, and written again the same', () => {
  fc.assert(
    fc.property(locks, (lock) => {
      const text = formatLock(lock);
      const read = parseLock(text, 'edge');
      assert.deepEqual(new Map([...read.modules].sort()), new Map([...lock.modules].sort()));
      assert.equal(formatLock(read), text);
      assert.ok(text.endsWith('}\n'));
    }),
  );
});

test('property: changing one module changes its own lines only', () => {
  fc.assert(
    fc.property(locks, entries, (lock, entry) => {
      const alias = [...lock.modules.keys()][0];
      fc.pre(alias !== undefined);
      const changed = formatLock({ ...lock, modules: new Map([...lock.modules, [alias, entry]]) });
      const without = (text: string) => {
        const start = text.indexOf(`    "${alias}": {`);
        return text.slice(0, start) + text.slice(text.indexOf('\n    }', start));
      };
      assert.equal(without(changed), without(formatLock(lock)));
    }),
  );
});
