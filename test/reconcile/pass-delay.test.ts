import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isWorthWaiting, passDelay } from '../../src/reconcile/pass-delay.ts';
import { type PaceOptions, PassPace } from '../../src/reconcile/pass-pace.ts';
import type { RootStatus } from '../../src/store/status-file.ts';

const minute = 60_000;
const usual = { intervalMs: 30_000, initIntervalMs: 2_000 };
const intervals = fc.record({
  intervalMs: fc.integer({ min: 1, max: 24 * 60 * minute }),
  initIntervalMs: fc.integer({ min: 1, max: 10 * minute }),
});
const random = fc.double({ min: 0, max: 1, noNaN: true });
const histories = fc.record({
  failures: fc.integer({ min: 0, max: 10_000 }),
  isServing: fc.boolean(),
  retryAfterMs: fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: undefined }),
});

describe('the wait for the next pass', () => {
  it('is the interval ± 10 % after a pass that went well', () => {
    fc.assert(
      fc.property(intervals, random, fc.boolean(), (given, spread, isServing) => {
        const delay = passDelay({ failures: 0, isServing, retryAfterMs: undefined }, given, spread);
        assert.ok(delay >= given.intervalMs * 0.899 && delay <= given.intervalMs * 1.101);
      }),
    );
  });

  it('is short as long as nothing serves, however often that failed', () => {
    fc.assert(
      fc.property(
        intervals,
        random,
        fc.integer({ min: 1, max: 1e6 }),
        (given, spread, failures) => {
          const history = { failures, isServing: false, retryAfterMs: undefined };
          const delay = passDelay(history, given, spread);
          assert.ok(delay <= 1.101 * Math.min(given.initIntervalMs, given.intervalMs));
        },
      ),
    );
  });

  it('doubles with each failure, up to ten intervals and five minutes', () => {
    const waits = [1, 2, 3, 4, 5, 6, 1000].map((failures) =>
      passDelay({ failures, isServing: true, retryAfterMs: undefined }, usual, 0.5),
    );
    const seconds = waits.map((wait) => Math.round(wait / 1000));
    assert.deepEqual(seconds, [30, 60, 120, 240, 300, 300, 300]);
    const longest = passDelay(
      { failures: 99, isServing: true, retryAfterMs: undefined },
      { ...usual, intervalMs: 1000 },
      0.5,
    );
    assert.equal(longest, 10_000);
  });

  it('is never longer than five minutes or the interval, ± 25 %, unless the server says so', () => {
    fc.assert(
      fc.property(intervals, histories, random, (given, history, spread) => {
        const delay = passDelay({ ...history, retryAfterMs: undefined }, given, spread);
        assert.ok(delay <= 1.251 * Math.max(given.intervalMs, 5 * minute), `${delay}`);
        assert.ok(delay >= 0.749 * Math.min(given.intervalMs, given.initIntervalMs), `${delay}`);
      }),
    );
  });

  it('is no shorter than the server asks for after a failure, up to an hour', () => {
    fc.assert(
      fc.property(intervals, histories, random, (given, history, spread) => {
        fc.pre(history.failures > 0);
        const asked = Math.min(history.retryAfterMs ?? 0, 60 * minute);
        assert.ok(passDelay(history, given, spread) >= asked);
      }),
    );
  });

  it('is spread, so that replicas do not come together', () => {
    const history = { failures: 3, isServing: true, retryAfterMs: 200_000 };
    for (const retryAfterMs of [undefined, 10, 200_000]) {
      const waits = [0, 0.3, 1].map((at) => passDelay({ ...history, retryAfterMs }, usual, at));
      assert.equal(new Set(waits).size, 3, JSON.stringify(waits));
    }
  });

  it('grows for a server that fails, not for a refused commit, a disk or a database', () => {
    const error = (code: string) => ({ code, message: '', at: '' });
    assert.equal(isWorthWaiting('unreachable', error('remote-busy')), true);
    assert.equal(isWorthWaiting('failed', error('fetch-corrupt')), true);
    assert.equal(isWorthWaiting('refused', error('branch-rewritten')), false);
    assert.equal(isWorthWaiting('failed', error('disk-full')), false);
    assert.equal(isWorthWaiting('failed', error('database-unreachable')), false);
  });
});

describe('the pace of passes', () => {
  const paceOf = (more: Partial<PaceOptions> = {}) =>
    new PassPace({
      mode: 'watch',
      maxFailures: undefined,
      random: () => 0.5,
      ...usual,
      ...more,
    });
  const status = (state: RootStatus['state'], generation: number | null) =>
    ({
      state,
      generation,
      last_error:
        state === 'converged' ? null : { code: 'remote-unreachable', message: '', at: '' },
    }) as RootStatus;
  const away = (generation: number | null) => status('unreachable', generation);

  it('begins anew after a success and when something is heard', () => {
    const pace = paceOf();
    const failing = () => pace.after(away(7), undefined);
    assert.deepEqual([failing(), failing(), failing()], [30_000, 60_000, 120_000]);
    assert.equal(pace.after(status('converged', 7), undefined), 30_000);
    assert.deepEqual([failing(), failing()], [30_000, 60_000]);
    pace.wake();
    assert.equal(failing(), 30_000);
  });

  it('gives up only what never served anything, and only when it was told to', () => {
    const never = paceOf();
    for (let i = 0; i < 50; i++) assert.equal(never.after(away(null), undefined), 2_000);
    const told = paceOf({ maxFailures: 3 });
    assert.deepEqual(
      [1, 2, 3].map(() => told.after(away(null), undefined)),
      [2_000, 2_000, undefined],
    );
    assert.equal(told.gaveUpAfter, 3);
    const served = paceOf({ maxFailures: 2 });
    served.after(away(null), undefined);
    served.after(status('converged', 1), undefined);
    for (let i = 0; i < 9; i++) assert.notEqual(served.after(away(1), undefined), undefined);
    // Also when what served is no longer there to be read.
    assert.notEqual(served.after(away(null), undefined), undefined);
    assert.notEqual(served.after(away(null), undefined), undefined);
  });

  it('does not count a ring that is suspended before it ever began', () => {
    const pace = paceOf({ maxFailures: 1 });
    assert.equal(pace.after(status('suspended', null), undefined), 30_000);
    const init = paceOf({ mode: 'init' });
    assert.equal(init.after(status('suspended', null), undefined), undefined);
  });

  it('makes one pass with --once, and with --init until something serves or it is enough', () => {
    assert.equal(paceOf({ mode: 'once' }).after(away(null), undefined), undefined);
    assert.equal(paceOf({ mode: 'init' }).after(away(null), undefined), undefined);
    const init = paceOf({ mode: 'init', maxFailures: 5 });
    assert.equal(init.after(away(null), undefined), 2_000);
    assert.equal(init.after(status('unreachable', 0), undefined), undefined);
  });
});
