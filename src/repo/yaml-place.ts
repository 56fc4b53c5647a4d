import { isCollection, isMap, isNode, isPair, isScalar, type Pair } from 'yaml';

/** Where a mapping's entry stands in a text, in whole lines. */
export interface EntryLines {
  /** The line with its key. */
  readonly start: number;
  /** After its last line, and after comments that stand deeper than its key. */
  readonly end: number;
}

/** The offset at which the line of an offset begins. */
export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/**
 * The offset after the line on which a node's last value ends. A comment below it is not the node's:
 * the library counts all that follow the last value of a document to each collection around it.
 */
export function lineAfter(text: string, node: unknown): number | undefined {
  const end = contentEnd(node);
  if (end === undefined) return undefined;
  if (text[end - 1] === '\n') return end;
  const newline = text.indexOf('\n', end);
  return newline === -1 ? text.length : newline + 1;
}

function contentEnd(node: unknown): number | undefined {
  if (isPair(node)) return contentEnd(node.value) ?? contentEnd(node.key);
  if (!isNode(node) || !node.range) return undefined;
  const last = isCollection(node) && node.flow !== true ? node.items.at(-1) : undefined;
  return contentEnd(last) ?? node.range[1];
}

/** The lines of an entry of a block mapping; undefined when something else stands on its first line. */
export function entryLines(text: string, { key, value }: Pair): EntryLines | undefined {
  if (!isScalar(key) || !key.range) return undefined;
  const start = lineStart(text, key.range[0]);
  const column = key.range[0] - start;
  const after = lineAfter(text, value) ?? lineAfter(text, key);
  if (after === undefined || text.slice(start, key.range[0]).trim() !== '') return undefined;
  return { start, end: afterDeeperComments(text, after, column) };
}

function afterDeeperComments(text: string, from: number, column: number): number {
  let end = from;
  let at = from;
  while (at < text.length) {
    const newline = text.indexOf('\n', at);
    const next = newline === -1 ? text.length : newline + 1;
    const indent = /^( *)#/.exec(text.slice(at, next))?.[1]?.length;
    if (indent !== undefined && indent > column) end = next;
    else if (text.slice(at, next).trim() !== '') break;
    at = next;
  }
  return end;
}

/** The pair of a mapping with a key. */
export function pairOf(node: unknown, key: string | number): Pair | undefined {
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
}
