import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BaseCache } from '../../src/git/base-cache.ts';

const object = (bytes: number) => ({ type: 'blob' as const, content: Buffer.alloc(bytes) });
const mebibyte = 1024 * 1024;

describe('the cache of bases', () => {
  it('holds so much of all packs together, and lets the oldest go first', () => {
    const cache = new BaseCache();
    for (let pack = 0; pack < 50; pack++) cache.remember(`${pack}.pack`, 12, object(mebibyte / 2));
    const held = Array.from({ length: 50 }, (_, pack) => cache.get(`${pack}.pack`, 12));
    assert.equal(
      held.findIndex((found) => found !== undefined),
      42,
    );
    assert.ok(held.slice(42).every((found) => found !== undefined));
  });

  it('keeps no object that would push most others out', () => {
    const cache = new BaseCache();
    cache.remember('a.pack', 12, object(1000));
    cache.remember('a.pack', 2000, object(2 * mebibyte));
    assert.equal(cache.get('a.pack', 2000), undefined);
    assert.ok(cache.get('a.pack', 12));
  });

  it('forgets a pack, and has room again for what that one took', () => {
    const cache = new BaseCache();
    for (const offset of [1, 2, 3, 4]) cache.remember('a.pack', offset, object(mebibyte));
    cache.forget('a.pack');
    for (const offset of [1, 2, 3, 4]) {
      assert.equal(cache.get('a.pack', offset), undefined);
      // Said twice it counts once.
      for (const _ of [1, 2]) cache.remember('aa.pack', offset, object(mebibyte));
    }
    cache.forget('a.pack');
    assert.ok([1, 2, 3, 4].every((offset) => cache.get('aa.pack', offset) !== undefined));
  });
});
