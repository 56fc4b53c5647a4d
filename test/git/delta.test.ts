import assert from 'node:assert/strict';
import test from 'node:test';
import { applyDelta } from '../../src/git/delta.ts';

/** Base of 11 bytes to a result of 10: copy five from 6, insert three, copy two from 0. */
const base = Buffer.from('hello world');
const delta = Buffer.from([11, 10, 0x91, 6, 5, 3, 0x20, 0x26, 0x20, 0x90, 2]);

test('copies from the base and inserts what the delta brings', () => {
  assert.equal(applyDelta(base, delta).toString(), 'world & he');
});

test('a delta for another base, cut off, or that does not add up is refused', () => {
  assert.throws(
    () => applyDelta(Buffer.from('hello'), delta),
    /expects a base of 11 bytes, found 5/,
  );
  for (let end = 0; end < delta.length; end++) {
    assert.throws(() => applyDelta(base, delta.subarray(0, end)), `cut after ${end}`);
  }
  assert.throws(() => applyDelta(base, Buffer.from([11, 10, 0x91, 9, 5])), /beyond its base/);
  assert.throws(() => applyDelta(base, Buffer.from([11, 1, 0x90, 2])), /makes too much/);
  assert.throws(() => applyDelta(base, Buffer.from([11, 1, 0])), /is broken/);
});
