import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { brokenLine, lineOfValue } from '../../src/repo/json-position.ts';

test('property: what JSON.parse accepts has no broken line, and what it refuses has one', () => {
  const edit = fc.record({
    at: fc.nat(200),
    cut: fc.nat(2),
    put: fc.constantFrom(
      '',
      '"',
      '\\',
      ',',
      ':',
      '}',
      ']',
      '{',
      '0',
      '-',
      'e',
      '\n',
      '\u0001',
      'é',
      '\ud800',
    ),
  });
  fc.assert(
    fc.property(
      fc.json(),
      fc.constantFrom(0, 2),
      fc.array(edit, { maxLength: 2 }),
      (json, indent, edits) => {
        let text = JSON.stringify(JSON.parse(json), null, indent);
        for (const { at, cut, put } of edits) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + put + text.slice(place + cut);
        }
        assert.equal(brokenLine(text) === undefined, isJson(text), text);
      },
    ),
    { numRuns: 100 },
  );
});

test('property: the line of a value is the one that a YAML parser gives', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(0, 2, 7), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const lines = new LineCounter();
      const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
      for (const path of pathsOf(value)) {
        const node = document.getIn(path, true);
        if (!isNode(node) || !node.range) continue;
        assert.equal(lineOfValue(text, path), lines.linePos(node.range[0]).line, text);
      }
    }),
    { numRuns: 100 },
  );
});

test('a place that is not there has the line of its nearest parent, and an index may be a text', () => {
  const text = '{\n  "a": [\n    1,\n    2\n  ]\n}\n';
  assert.equal(lineOfValue(text, ['a', '1']), 4);
  assert.equal(lineOfValue(text, ['a', 7]), 2);
  assert.equal(lineOfValue(text, ['b', 'c']), 1);
});

test('a text is broken where its grammar is, on a string of megabytes too', () => {
  for (const [text, line] of [
    ['', 1],
    ['{\n  "a": 1\n  "b": 2\n}', 3],
    ['{\n  "a": 1,\n}', 3],
    ['[1,\n 01]', 2],
    ['{"a": 1}\n\nmore', 3],
    ['{"a": "\n"}', 1],
    [`{"a":\n"${'x'.repeat(4_000_000)}\\q"}`, 2],
  ] as const) {
    assert.equal(brokenLine(text), line, text.slice(0, 40));
  }
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function* pathsOf(value: unknown, path: (string | number)[] = []): Generator<(string | number)[]> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, part] of Object.entries(value)) {
    yield* pathsOf(part, [...path, Array.isArray(value) ? Number(name) : name]);
  }
}
