import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findSoaks, longestSoak, type SoakEvent } from '../../src/repo/soak.ts';

const hour = 3_600_000;
const bytes = (version: string) => `sha256:${version.padEnd(64, '0')}`;

/** A step that its operation found well half an hour later, unless said otherwise. */
function step(
  at: number,
  from: string | null,
  to: string | null,
  more: Partial<SoakEvent> = {},
): SoakEvent {
  const action =
    to === null ? 'remove' : from === null ? 'install' : from < to ? 'upgrade' : 'downgrade';
  return {
    ...{ root: 'a', at: at * hour, action, outcome: 'succeeded', from, to },
    ...{ digest: bytes(to ?? from ?? ''), committedAt: (at + 0.5) * hour, isSeed: false },
    ...more,
  };
}

const reverted = (at: number, from: string | null, to: string, root = 'a') =>
  step(at, from, to, { outcome: 'reverted', committedAt: null, root });

/** Soaks of 2.0 as `begin-end`, in hours. */
function soaksOf(events: readonly SoakEvent[]): string[] {
  const { soaks } = findSoaks(events, { version: '2.0', sha256: bytes('2.0') });
  return soaks.map(
    ({ begin, end, endedBy }) =>
      `${begin / hour}-${end === undefined ? '' : `${end / hour} ${endedBy}`}`,
  );
}

const seed = (at: number, to: string) => step(at, null, to, { root: 'seeded', isSeed: true });

const cases: readonly [string, readonly SoakEvent[], readonly string[]][] = [
  ['begins when its operation was found well', [step(1, '1.0', '2.0')], ['1.5-']],
  ['does not begin before', [step(1, '1.0', '2.0', { committedAt: null })], []],
  [
    'ends when another version comes',
    [step(1, '1.0', '2.0'), step(5, '2.0', '3.0')],
    ['1.5-5 replaced'],
  ],
  ['ends when the module goes', [step(1, '1.0', '2.0'), step(5, '2.0', null)], ['1.5-5 removed']],
  ['ends when it fails', [step(1, '1.0', '2.0'), reverted(5, '1.0', '2.0')], ['1.5-5 failed']],
  [
    'is none when the step was undone before it was found well',
    [step(1, '1.0', '2.0', { committedAt: 9 * hour }), reverted(2, '1.0', '2.0')],
    [],
  ],
  [
    'begins anew when what came after it failed',
    [step(1, '1.0', '2.0'), step(5, '2.0', '3.0'), reverted(6, '2.0', '3.0')],
    ['1.5-5 replaced', '6-'],
  ],
  [
    'begins anew when a person goes back to it',
    [step(1, '1.0', '2.0'), step(5, '2.0', '3.0'), step(8, '3.0', '2.0')],
    ['1.5-5 replaced', '8.5-'],
  ],
  [
    'goes on when a second replica comes to it',
    [step(1, '1.0', '2.0'), step(4, '1.0', '2.0', { root: 'b' })],
    ['1.5-'],
  ],
  [
    'ends as soon as one replica goes on',
    [
      step(1, '1.0', '2.0'),
      step(1, '1.0', '2.0', { root: 'b' }),
      step(5, '2.0', '3.0', { root: 'b' }),
    ],
    ['1.5-5 replaced'],
  ],
  [
    'goes on when a pod begins with an old seed',
    [
      step(1, '1.0', '2.0'),
      step(3, null, '1.0', { root: 'c' }),
      step(3.1, '1.0', '2.0', { root: 'c' }),
    ],
    ['1.5-'],
  ],
  [
    'of a pod that came late is none when the others come back to it',
    [step(5, '2.0', '3.0'), step(6, '1.0', '2.0', { root: 'lost' }), step(9, '3.0', '2.0')],
    ['9.5-'],
  ],
  ['is not of other bytes under the version', [step(1, '1.0', '2.0', { digest: bytes('9') })], []],
  ['begins with a seed where nothing else came', [seed(1, '2.0')], ['1.5-']],
  [
    'begins with those who come to it, whatever a seed had before',
    [seed(1, '2.0'), step(5, '1.0', '2.0'), step(6, '1.0', '2.0', { root: 'b' })],
    ['5.5-'],
  ],
];

for (const [what, events, expected] of cases) {
  test(`a soak ${what}`, () => {
    assert.deepEqual(soaksOf(events), expected);
  });
}

test('the longest soak counts, finished or going on, and none before a failure', () => {
  const pin = { version: '2.0', sha256: bytes('2.0') };
  const events = [step(0, '1.0', '2.0'), step(6, '2.0', '3.0'), step(8, '3.0', '2.0')];
  const longest = (now: number, isPinned = true, all: readonly SoakEvent[] = events) =>
    longestSoak(findSoaks(all, pin), now * hour, isPinned);
  assert.deepEqual(longest(9), { ms: 5.5 * hour, begin: 0.5 * hour, isRunning: false });
  assert.deepEqual(longest(20), { ms: 11.5 * hour, begin: 8.5 * hour, isRunning: true });
  // What the ring pins no more runs nowhere, whatever a lost replica said last.
  assert.equal(longest(20, false)?.ms, 5.5 * hour);
  const failed = [...events, reverted(10, '1.0', '2.0')];
  assert.equal(longest(20, true, failed), undefined);
  assert.equal(longest(20, true, [...failed, step(11, '1.0', '2.0')])?.ms, 8.5 * hour);
});

interface Draw {
  readonly at: number;
  readonly root: string;
  readonly to: string | null;
  readonly revert: boolean;
}

const draws = fc.array(
  fc.record({
    at: fc.integer({ min: 1, max: 5 }),
    root: fc.constantFrom('a', 'b', 'c'),
    to: fc.constantFrom('1.0', '2.0', '3.0', null),
    revert: fc.boolean(),
  }),
  { maxLength: 14 },
);

/** Events as replicas would have them: each step from where the replica is. */
function eventsOf(drawn: readonly Draw[]): SoakEvent[] {
  const present = new Map<string, string | null>();
  let at = 0;
  return drawn.flatMap(({ at: gap, root, to, revert }): SoakEvent[] => {
    at += gap;
    const from = present.get(root) ?? null;
    if (from === to || (from === null && to === null)) return [];
    if (revert && to !== null) {
      return [step(at, from, to, { root, committedAt: null }), reverted(at + 0.5, from, to, root)];
    }
    present.set(root, to);
    return [step(at, from, to, { root })];
  });
}

test('property: soaks follow each other, nobody leaves the version within one, and only the last goes on', () => {
  const pin = { version: '2.0', sha256: bytes('2.0') };
  fc.assert(
    fc.property(draws, (drawn) => {
      const events = eventsOf(drawn);
      const history = findSoaks(events, pin);
      let before = Number.NEGATIVE_INFINITY;
      for (const [index, { begin, end = Number.POSITIVE_INFINITY }] of history.soaks.entries()) {
        assert.ok(begin >= before && begin <= end);
        assert.ok(end !== Number.POSITIVE_INFINITY || index === history.soaks.length - 1);
        before = end;
        const leaves = events.filter(
          ({ at, from, to, outcome }) =>
            at > begin && at < end && outcome === 'succeeded' && from === '2.0' && to !== '2.0',
        );
        assert.deepEqual(leaves, []);
        assert.ok(
          events.some(({ at, to, from }) => at <= begin && (to === '2.0' || from === '2.0')),
        );
      }
      const failures = events.filter(({ outcome, to }) => outcome === 'reverted' && to === '2.0');
      assert.equal(history.failedAt, failures.at(-1)?.at);
      const longest = longestSoak(history, 1000 * hour, true);
      assert.ok(longest === undefined || longest.begin >= (history.failedAt ?? 0));
    }),
    { numRuns: 100 },
  );
});
