import type { FilePath } from './invalid-file.ts';

/** What a walk through a JSON text comes upon. */
interface Walk {
  readonly text: string;
  /** Called with each value's offset, parents first. */
  readonly onValue: (path: FilePath, offset: number) => void;
}

/**
 * The 1-based line where a path's value stands in a JSON text, or its nearest parent's.
 *
 * @param text JSON that JSON.parse accepts
 */
export function lineOfValue(text: string, path: FilePath): number {
  let found = { length: -1, offset: 0 };
  walkValue({
    text,
    onValue: (at, offset) => {
      const isOnTheWay =
        at.length <= path.length && at.every((name, i) => String(name) === String(path[i]));
      if (isOnTheWay && at.length > found.length) found = { length: at.length, offset };
    },
  });
  return lineAt(text, found.offset);
}

/** The 1-based line where a text stops being JSON; undefined when it is JSON to its end. */
export function brokenLine(text: string): number | undefined {
  try {
    const end = skipBlanks(text, walkValue({ text, onValue: () => {} }));
    if (end === text.length) return undefined;
    return lineAt(text, end);
  } catch (error) {
    if (error instanceof Break) return lineAt(text, error.offset);
    throw error;
  }
}

/** The 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Thrown where a text breaks the grammar of RFC 8259. */
class Break extends Error {
  readonly offset: number;

  constructor(offset: number) {
    super('not JSON');
    this.offset = offset;
  }
}

/** Recursive, as deep as the brackets: callers have refused what is nested deeper than 64. */
function walkValue(walk: Walk, start = 0, path: FilePath = []): number {
  const { text } = walk;
  const offset = skipBlanks(text, start);
  walk.onValue(path, offset);
  if (text[offset] === '{') return walkMembers(walk, offset, path, '}');
  if (text[offset] === '[') return walkMembers(walk, offset, path, ']');
  return scalarEnd(text, offset);
}

function walkMembers(walk: Walk, start: number, path: FilePath, close: '}' | ']'): number {
  const { text } = walk;
  let offset = skipBlanks(text, start + 1);
  if (text[offset] === close) return offset + 1;
  for (let index = 0; ; index++) {
    let name: string | number = index;
    if (close === '}') {
      const end = stringEnd(text, offset);
      name = JSON.parse(text.slice(offset, end)) as string;
      offset = expect(text, skipBlanks(text, end), ':');
    }
    offset = skipBlanks(text, walkValue(walk, offset, [...path, name]));
    if (text[offset] === close) return offset + 1;
    offset = skipBlanks(text, expect(text, offset, ','));
  }
}

const scalar = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

function scalarEnd(text: string, offset: number): number {
  if (text[offset] === '"') return stringEnd(text, offset);
  scalar.lastIndex = offset;
  if (!scalar.test(text)) throw new Break(offset);
  return scalar.lastIndex;
}

/** By steps, since one expression for a string of megabytes overflows the engine's stack. */
function stringEnd(text: string, start: number): number {
  if (text[start] !== '"') throw new Break(start);
  // A quote, a backslash, or a control character, which has to be escaped.
  const special = /["\\]|[^\u{20}-\u{10ffff}]/gu;
  const escaped = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
  special.lastIndex = start + 1;
  for (let match = special.exec(text); match !== null; match = special.exec(text)) {
    if (match[0] === '"') return match.index + 1;
    escaped.lastIndex = match.index;
    if (!escaped.test(text)) throw new Break(match.index);
    special.lastIndex = escaped.lastIndex;
  }
  throw new Break(text.length);
}

function skipBlanks(text: string, start: number): number {
  const blanks = /[ \t\r\n]*/y;
  blanks.lastIndex = start;
  blanks.test(text);
  return blanks.lastIndex;
}

function expect(text: string, offset: number, character: string): number {
  if (text[offset] !== character) throw new Break(offset);
  return offset + 1;
}
