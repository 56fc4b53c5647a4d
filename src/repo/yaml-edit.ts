import { isDeepStrictEqual } from 'node:util';
import { Document, isMap, isScalar, isSeq, parseDocument, stringify, visit } from 'yaml';
import type { FilePath } from './source-text.ts';
import { entryLines, lineAfter, lineStart, pairOf } from './yaml-place.ts';

/** Long reasons and hostnames stay on one line, so that a change is one line of a diff. */
export const yamlStyle = { lineWidth: 0 } as const;

type ListStyle = 'block' | 'flow';

/**
 * The text with a value put in or replaced. Only the lines of that value change where the text
 * around it allows it; else the library writes the document anew, comments and order kept.
 *
 * @param text YAML of one document whose top is a mapping
 * @param lists how lists in the value are written: an item a line, or `[a, b]`
 */
export function withYamlValue(
  text: string,
  path: FilePath,
  value: unknown,
  lists: ListStyle = 'block',
): string {
  const document = parseDocument(text);
  const spliced = splicedValue(text, document, path, value, lists);
  document.setIn(path, document.createNode(value));
  return spliceOrRewrite(document, spliced);
}

/** The text without a value and its key; comments above it stay, those beside it go. */
export function withoutYamlValue(text: string, path: FilePath): string {
  const document = parseDocument(text);
  if (!document.hasIn(path)) return text;
  const spliced = withoutEntry(text, document, path);
  document.deleteIn(path);
  return spliceOrRewrite(document, spliced);
}

/** The text with one more item at the end of a list of strings, which is made where it is missing. */
export function withYamlItem(text: string, path: FilePath, item: string): string {
  const document = parseDocument(text);
  const list = document.getIn(path, true);
  if (!isSeq(list)) return withYamlValue(text, path, [item]);
  const [last, range] = [list.items.at(-1), list.range];
  document.addIn(path, document.createNode(item));
  if (!range) return document.toString(yamlStyle);
  if (list.flow) {
    const at = isScalar(last) ? (last.range?.[1] ?? range[1]) : range[0] + 1;
    return spliceOrRewrite(document, replaced(text, at, at, `${last ? ', ' : ''}${inline(item)}`));
  }
  const at = lineAfter(text, last);
  const prefix =
    isScalar(last) && last.range && text.slice(lineStart(text, last.range[0]), last.range[0]);
  if (at === undefined || !prefix) return document.toString(yamlStyle);
  const line = `${text[at - 1] === '\n' ? '' : '\n'}${prefix}${inline(item)}\n`;
  return spliceOrRewrite(document, replaced(text, at, at, line));
}

/** The text without an item of a list of strings; a list that becomes empty stays, as `[]`. */
export function withoutYamlItem(text: string, path: FilePath, item: string): string {
  const document = parseDocument(text);
  const list = document.getIn(path, true);
  if (!isSeq(list)) return text;
  const index = list.items.findIndex((each) => isScalar(each) && each.value === item);
  if (index === -1) return text;
  if (list.items.length === 1) return withYamlValue(text, path, []);
  const [before, at, after] = [-1, 0, 1].map((step) => {
    const node = list.items[index + step];
    return isScalar(node) ? (node.range ?? undefined) : undefined;
  });
  document.deleteIn([...path, index]);
  if (at === undefined) return document.toString(yamlStyle);
  if (list.flow) {
    const [from, to] = after ? [at[0], after[0]] : [before?.[1] ?? at[0], at[1]];
    return spliceOrRewrite(document, replaced(text, from, to, ''));
  }
  const end = text.indexOf('\n', at[1]);
  const from = lineStart(text, at[0]);
  return spliceOrRewrite(document, replaced(text, from, end === -1 ? text.length : end + 1, ''));
}

/** The library re-spaces flow collections and moves comments: a diff of lines nobody touched. */
function spliceOrRewrite(wanted: Document, spliced: string | undefined): string {
  const same = spliced !== undefined && isDeepStrictEqual(toData(spliced), wanted.toJS());
  return same ? spliced : wanted.toString(yamlStyle);
}

function toData(text: string): unknown {
  const document = parseDocument(text);
  return document.errors.length === 0 ? document.toJS() : undefined;
}

function splicedValue(
  text: string,
  document: Document,
  path: FilePath,
  value: unknown,
  lists: ListStyle,
): string | undefined {
  const present = path.length === 0 ? undefined : document.getIn(path, true);
  if (isScalar(present) && present.value === value) return text;
  if (isScalar(present) && present.range && typeof value === 'string') {
    return replaced(text, present.range[0], present.range[1], inline(value));
  }
  if (present !== undefined) return splicedCollection(text, document, path, value, lists);
  const key = String(path.at(-1));
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (parent === undefined && path.length > 1) {
    // The mapping around it is missing too: put that in.
    return splicedValue(text, document, path.slice(0, -1), { [key]: value }, lists);
  }
  if (isMap(parent) && parent.flow && parent.items.length === 0 && path.length > 1) {
    return splicedCollection(text, document, path.slice(0, -1), { [key]: value }, lists);
  }
  if (!isMap(parent) || parent.flow) return undefined;
  const [first, last] = [parent.items[0]?.key, parent.items.at(-1)];
  if (!isScalar(first) || !first.range) return undefined;
  const indent = ' '.repeat(first.range[0] - lineStart(text, first.range[0]));
  const lines = linesOf({ [key]: value }, lists);
  const end = (last && entryLines(text, last)?.end) ?? lineAfter(text, last);
  if (end === undefined) return undefined;
  const added = lines.map((line) => `${indent}${line}\n`).join('');
  const before = text.slice(0, end);
  return `${before}${before.endsWith('\n') ? '' : '\n'}${added}${text.slice(end)}`;
}

/** A collection that becomes another one: on its line where it is written on one. */
function splicedCollection(
  text: string,
  document: Document,
  path: FilePath,
  value: unknown,
  lists: ListStyle,
): string | undefined {
  const pair = pairIn(document, path);
  const { key, value: node } = pair ?? {};
  const range = (node as { range?: readonly [number, number, number] | null } | undefined)?.range;
  if (pair === undefined || !isScalar(key) || !key.range || !range) return undefined;
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  if ((isMap(node) || isSeq(node)) && node.flow !== true) {
    const end = lineAfter(text, node);
    const colon = text.indexOf(':', key.range[1]);
    // Only an empty one goes where lines were: beside the key, whose own comment stays.
    if (!isEmpty || end === undefined) return undefined;
    const lineEnd = text.indexOf('\n', colon);
    const kept = text.slice(colon + 1, lineEnd + 1);
    return replaced(text, colon + 1, end, ` ${Array.isArray(value) ? '[]' : '{}'}${kept}`);
  }
  if (isEmpty && (isMap(node) || isSeq(node))) {
    return replaced(text, range[0], range[1], Array.isArray(value) ? '[]' : '{}');
  }
  const isBlockValue = typeof value === 'object' && value !== null && !isEmpty;
  if (isBlockValue && isMap(node) && node.items.length === 0) {
    const start = lineStart(text, key.range[0]);
    const indent = text.slice(start, key.range[0]);
    if (indent.trim() !== '' || text.slice(range[1]).match(/^[ \t]*(#.*)?(\n|$)/) === null) {
      return undefined;
    }
    const colon = text.indexOf(':', key.range[1]);
    const end = lineAfter(text, node) ?? text.length;
    const rest = text.slice(range[1], end).trimEnd();
    const lines = linesOf(value, lists);
    const block = lines.map((line) => `${indent}  ${line}\n`).join('');
    return replaced(text, colon + 1, end, `${rest === '' ? '' : ` ${rest.trim()}`}\n${block}`);
  }
  return undefined;
}

function pairIn(document: Document, path: FilePath) {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  return pairOf(parent, path.at(-1) ?? '');
}

/** Undefined where the entry is not in lines of its own. */
function withoutEntry(text: string, document: Document, path: FilePath): string | undefined {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent) || parent.flow) return undefined;
  if (parent.items.length === 1) {
    return path.length === 1
      ? undefined
      : splicedCollection(text, document, path.slice(0, -1), {}, 'block');
  }
  const pair = pairOf(parent, path.at(-1) ?? '');
  const lines = pair && entryLines(text, pair);
  return lines && replaced(text, lines.start, lines.end, '');
}

function linesOf(value: unknown, lists: ListStyle): string[] {
  const document = new Document(value);
  visit(document, {
    Seq: (_, list) => {
      list.flow = lists === 'flow';
    },
  });
  return document
    .toString({ ...yamlStyle, flowCollectionPadding: false })
    .trimEnd()
    .split('\n');
}

/** A string as it may stand anywhere in YAML, flow collections included. */
function inline(value: string): string {
  const plain = stringify(value, yamlStyle).trimEnd();
  return /[,[\]{}\n]/.test(plain) ? JSON.stringify(value) : plain;
}

function replaced(text: string, from: number, to: number, inserted: string): string {
  return text.slice(0, from) + inserted + text.slice(to);
}
