import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FreezeWindow, freezeAt, parseFreezeWindow } from '../../src/repo/freeze-window.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { instantsOf, wallTimeAt, weekdayOf } from '../../src/repo/wall-clock.ts';

function windowOf(from: string, to: string, timezone = 'UTC', reason?: string): FreezeWindow {
  const window = parseFreezeWindow({ from, to, timezone, ...(reason && { reason }) });
  assert.ok(!('field' in window), JSON.stringify(window));
  return window;
}

/** When it is open again; undefined when it is open. */
function opens(windows: readonly FreezeWindow[], at: string): string | undefined {
  const freeze = freezeAt(windows, Date.parse(at));
  return freeze && new Date(freeze.opensAt ?? Number.NaN).toISOString();
}

const weekend = windowOf('fri 16:00', 'mon 08:00', 'Europe/Berlin');

for (const [what, windows, at, expected] of [
  ['a minute before it begins', [weekend], '2026-11-27T14:59:00Z', undefined],
  ['as it begins', [weekend], '2026-11-27T15:00:00Z', '2026-11-30T07:00:00.000Z'],
  [
    'in the middle, over the end of a week',
    [weekend],
    '2026-11-29T23:59:59Z',
    '2026-11-30T07:00:00.000Z',
  ],
  ['as it ends', [weekend], '2026-11-30T07:00:00Z', undefined],
  [
    'over the change from summer time',
    [weekend],
    '2026-10-24T12:00:00Z',
    '2026-10-26T07:00:00.000Z',
  ],
  ['over the change to summer time', [weekend], '2026-03-28T12:00:00Z', '2026-03-30T06:00:00.000Z'],
  [
    'on a whole last day',
    [windowOf('2026-12-20', '2027-01-02')],
    '2027-01-02T23:59:00Z',
    '2027-01-03T00:00:00.000Z',
  ],
  [
    'after a whole last day',
    [windowOf('2026-12-20', '2027-01-02')],
    '2027-01-03T00:00:00Z',
    undefined,
  ],
  [
    'to the minute',
    [windowOf('2026-12-20T18:00', '2026-12-20T18:30', 'Asia/Kolkata')],
    '2026-12-20T12:45:00Z',
    '2026-12-20T13:00:00.000Z',
  ],
  [
    'within one day of the week',
    [windowOf('wed 09:00', 'wed 17:00')],
    '2026-11-25T10:00:00Z',
    '2026-11-25T17:00:00.000Z',
  ],
  [
    'all week but one hour',
    [windowOf('wed 09:00', 'wed 08:00')],
    '2026-11-25T09:00:00Z',
    '2026-12-02T08:00:00.000Z',
  ],
  [
    'that another one follows',
    [weekend, windowOf('2026-11-30', '2026-12-01', 'Europe/Berlin')],
    '2026-11-29T12:00:00Z',
    '2026-12-01T23:00:00.000Z',
  ],
  [
    'that begins in an hour that there is twice, at the first',
    [windowOf('2026-10-25T02:30', '2026-10-25T02:45', 'Europe/Berlin')],
    '2026-10-25T00:30:00Z',
    '2026-10-25T01:45:00.000Z',
  ],
  [
    'that ends in an hour that there is not',
    [windowOf('2026-03-29T01:00', '2026-03-29T02:30', 'Europe/Berlin')],
    '2026-03-29T00:30:00Z',
    '2026-03-29T01:00:00.000Z',
  ],
] as const) {
  test(`a freeze ${what}: ${expected === undefined ? 'open' : `until ${expected}`}`, () => {
    assert.equal(opens(windows, at), expected);
  });
}

test('windows that leave no time open say that nothing opens', () => {
  const always = [windowOf('mon 00:00', 'thu 00:00'), windowOf('wed 00:00', 'tue 00:00')];
  const freeze = freezeAt(always, Date.parse('2026-11-25T00:00:00Z'));
  assert.ok(freeze);
  assert.equal(freeze.opensAt, undefined);
});

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Apia',
  'America/St_Johns',
];
const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const times = fc.record({ day: fc.nat(6), hour: fc.nat(23), minute: fc.nat(59) });
const instants = fc.integer({ min: Date.UTC(2025, 0, 1), max: Date.UTC(2028, 0, 1) });
const hourMs = 3_600_000;

function weekMinute(instant: number, zone: string): number {
  const wall = wallTimeAt(instant, zone);
  return weekdayOf(wall) * 1440 + wall.hour * 60 + wall.minute;
}

test('property: a weekly freeze holds whenever the clock on the wall says so, in any zone', () => {
  const name = ({ day, hour, minute }: { day: number; hour: number; minute: number }) =>
    `${days[day]} ${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
  const at = (time: { day: number; hour: number; minute: number }) =>
    time.day * 1440 + time.hour * 60 + time.minute;
  fc.assert(
    fc.property(times, times, fc.constantFrom(...zones), instants, (from, to, zone, instant) => {
      fc.pre(at(from) !== at(to));
      const window = windowOf(name(from), name(to), zone);
      const freeze = freezeAt([window], instant);
      // Within hours of a change of the clock its hands say one thing twice, or never.
      const steady = [-3, 3].every(
        (hours) =>
          (weekMinute(instant + hours * hourMs, zone) - weekMinute(instant, zone) - hours * 60) %
            10_080 ===
          0,
      );
      if (steady) {
        const now = weekMinute(instant, zone);
        const isIn =
          at(from) < at(to) ? at(from) <= now && now < at(to) : now >= at(from) || now < at(to);
        assert.equal(freeze !== undefined, isIn);
      }
      if (freeze?.opensAt === undefined) return;
      assert.ok(
        freeze.opensAt > instant && freeze.opensAt - instant <= 7 * 24 * hourMs + 2 * hourMs,
      );
      assert.equal(freezeAt([window], freeze.opensAt), undefined);
      assert.ok(freezeAt([window], freeze.opensAt - 1));
    }),
    { numRuns: 100 },
  );
});

test('property: what a clock shows at an instant, it shows at one of the instants of that time', () => {
  fc.assert(
    fc.property(instants, fc.constantFrom(...zones), (instant, zone) => {
      const minute = Math.floor(instant / 60_000) * 60_000;
      const { first, last } = instantsOf(wallTimeAt(minute, zone), zone);
      assert.ok(first === minute || last === minute);
      assert.ok(last - first <= hourMs);
    }),
    { numRuns: 100 },
  );
});

const bad: readonly [string, string, RegExp][] = [
  ['soak in words', 'gates: {soak: a day}', /:1: gates\.soak is "a day", expected a duration/],
  [
    'more approvals than approvers',
    'gates:\n  approvals: 2\n  approvers: [ada@example.com]',
    /:2: gates\.approvals is 2, expected at most 1/,
  ],
  [
    'a pattern as approver',
    'gates: {approvals: 1, approvers: ["*@example.com"]}',
    /gates\.approvers\.0 is "\*@example\.com", expected one principal/,
  ],
  [
    'a freeze without an end',
    'gates: {freeze: [{from: fri 16:00}]}',
    /gates\.freeze\.0\.to is missing/,
  ],
  [
    'a day that is none',
    'gates: {freeze: [{from: 2026-02-30, to: 2026-03-01}]}',
    /gates\.freeze\.\[0\]\.from is "2026-02-30", expected 2026-12-20/,
  ],
  [
    'an end before the beginning',
    'gates: {freeze: [{from: 2026-03-02, to: 2026-03-01}]}',
    /\.to is "2026-03-01", expected a time after from/,
  ],
  [
    'a date to a weekday',
    'gates: {freeze: [{from: 2026-03-02, to: "mon 08:00"}]}',
    /\.to is "mon 08:00", expected a date as from is one/,
  ],
  [
    'a zone that is none',
    'gates: {freeze: [{from: "fri 16:00", to: "mon 08:00", timezone: Mars/Olympus}]}',
    /timezone is "Mars\/Olympus", expected the IANA name/,
  ],
  [
    'a check that asks nothing',
    'gates: {requires: [{name: nothing}]}',
    /gates\.requires\.\[0\] is.* expected \{url\} or \{command\}/,
  ],
  [
    'a check that asks two',
    'gates: {requires: [{url: "https://a.example", command: x}]}',
    /expected \{url\} or \{command\}/,
  ],
  [
    'a gate that there is not',
    'gates: {soaks: 1h}',
    /gates\.soaks is unknown, expected one of soak, approvals/,
  ],
];

for (const [what, yaml, message] of bad) {
  test(`gates: refuses ${what}`, () => {
    assert.throws(() => parseRingFile(`${yaml}\n`, 'edge'), { code: 'invalid-file', message });
  });
}
