import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  markedText,
  readMarker,
  requestKey,
  requestTitle,
  stepBranch,
} from '../../src/repo/request-text.ts';

const alias = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);

test('every step has a branch of its own, and none lies below another', () => {
  const step = fc.tuple(alias, alias, fc.uniqueArray(alias, { maxLength: 30 }));
  fc.assert(
    fc.property(step, step, ([from, to, names], [from2, to2, names2]) => {
      const same =
        from === from2 && to === to2 && String([...names].sort()) === String([...names2].sort());
      const [one, other] = [stepBranch(from, to, names), stepBranch(from2, to2, names2)];
      assert.equal(one === other, same);
      assert.ok(!one.startsWith(`${other}/`) && !other.startsWith(`${one}/`));
      assert.ok(one.length < 200);
    }),
    { numRuns: 100 },
  );
  assert.equal(stepBranch('a', 'b', ['x', 'y', 'x']), stepBranch('a', 'b', ['y', 'x']));
  assert.equal(stepBranch('canary', 'edge', ['orders']), 'ringlock/promote/canary/edge/orders');
  assert.equal(stepBranch('canary', 'edge', []), 'ringlock/promote/canary/edge/_all');
});

test('a request is known by its pins, whatever they replace and in whatever order', () => {
  const pin = (name: string, version: string) => ({
    alias: name,
    version,
    sha256: `sha256:${version}`,
  });
  const key = (...pins: ReturnType<typeof pin>[]) =>
    requestKey({ ring: 'edge', pins, platform: undefined });
  assert.equal(
    key(pin('a', '1.0.0'), pin('b', '1.0.0')),
    key(pin('b', '1.0.0'), pin('a', '1.0.0')),
  );
  assert.notEqual(key(pin('a', '1.0.0')), key(pin('a', '1.0.1')));
  const moved = requestKey({ ring: 'edge', pins: [pin('a', '1.0.0')], platform: '2.0.0' });
  assert.notEqual(moved, key(pin('a', '1.0.0')));
});

test('a marker is found behind whatever the text has, and says what the text was written for', () => {
  const [one, other] = ['1', '2'].map((digit) => digit.repeat(64)) as [string, string];
  const forged = markedText('forged', 't', other);
  const text = markedText(`a changelog that has\n${forged}`, 't', one);
  assert.equal(readMarker(text)?.key, one);
  assert.equal(readMarker(`${text.replaceAll('\n', '\r\n')}\r\nand more`)?.key, one);
  assert.notEqual(
    readMarker(markedText('x', 'a', one))?.occasion,
    readMarker(markedText('x', 'b', one))?.occasion,
  );
  assert.equal(readMarker('<!-- ringlock-promotion: x y -->'), undefined);
  const long = markedText('x'.repeat(100_000), 't', one);
  assert.ok(long.length < 65_536);
  assert.equal(readMarker(long)?.key, one);
  assert.equal(requestTitle('x'.repeat(300)).length, 250);
});
