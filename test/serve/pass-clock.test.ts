import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PassClock } from '../../src/reconcile/pass-clock.ts';
import { coalesced } from '../../src/serve/coalesced.ts';

const minute = 60_000;

describe('PassClock', () => {
  const at = (
    steps: (clock: PassClock, go: (ms: number) => void) => void,
    isOperating = false,
    timeoutMs = 0,
  ) => {
    let now = 0;
    const clock = new PassClock(() => now, timeoutMs);
    steps(clock, (ms) => {
      now += ms;
    });
    return clock.hung(isOperating);
  };

  it('says when passes have stopped coming, and not before', () => {
    assert.equal(
      at(() => {}),
      undefined,
    );
    assert.equal(
      at((clock, go) => {
        clock.began();
        go(59 * minute);
      }),
      undefined,
    );
    const slow = (clock: PassClock, go: (ms: number) => void) => {
      clock.began();
      go(61 * minute);
    };
    assert.equal(at(slow), 'a pass has taken 3660 s');
    assert.equal(at(slow, true), undefined, 'an operation may take its time');
    assert.equal(at(slow, false, 60 * minute), undefined, '--timeout lets it');
    const idle = (ms: number) => (clock: PassClock, go: (ms: number) => void) => {
      clock.began();
      clock.ended(24 * 60 * minute);
      go(24 * 60 * minute + ms);
    };
    assert.equal(at(idle(14 * minute)), undefined);
    assert.equal(at(idle(16 * minute)), 'the next pass is 960 s late');
  });
});

describe('coalesced', () => {
  it('acts at once, then once for all that follow', async () => {
    let acts = 0;
    const call = coalesced(() => {
      acts += 1;
    }, 50);
    for (let calls = 0; calls < 20; calls++) call();
    assert.equal(acts, 1);
    await delay(150);
    assert.equal(acts, 2);
    await delay(100);
    assert.equal(acts, 2);
  });
});
