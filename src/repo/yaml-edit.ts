import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, parseDocument, stringify } from 'yaml';
import type { FilePath } from './source-text.ts';

/** Long reasons and hostnames stay on one line, so that a change is one line of a diff. */
export const yamlStyle = { lineWidth: 0 } as const;

/**
 * The text with a value put in or replaced. Only the lines of that value change where the text
 * around it allows it; else the library writes the document anew, comments and order kept.
 *
 * @param text YAML of one document whose top is a mapping
 */
export function withYamlValue(text: string, path: FilePath, value: unknown): string {
  const document = parseDocument(text);
  document.setIn(path, document.createNode(value));
  // The library re-spaces flow collections and moves comments: a diff of lines nobody touched.
  const spliced = splicedValue(text, path, value);
  const same = spliced !== undefined && isDeepStrictEqual(toData(spliced), document.toJS());
  return same ? spliced : document.toString(yamlStyle);
}

function toData(text: string): unknown {
  const document = parseDocument(text);
  return document.errors.length === 0 ? document.toJS() : undefined;
}

function splicedValue(text: string, path: FilePath, value: unknown): string | undefined {
  const document = parseDocument(text);
  const present = path.length === 0 ? undefined : document.getIn(path, true);
  if (isScalar(present) && present.value === value) return text;
  if (isScalar(present) && present.range && typeof value === 'string') {
    return replaced(text, present.range[0], present.range[1], inline(value));
  }
  if (present !== undefined) return undefined;
  const key = String(path.at(-1));
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (parent === undefined && path.length > 1) {
    // The mapping around it is missing too: put that in.
    return splicedValue(text, path.slice(0, -1), { [key]: value });
  }
  if (!isMap(parent) || parent.flow) return undefined;
  const [first, last] = [parent.items[0]?.key, parent.items.at(-1)];
  if (!isScalar(first) || !first.range) return undefined;
  const indent = ' '.repeat(first.range[0] - (text.lastIndexOf('\n', first.range[0] - 1) + 1));
  const lines = stringify({ [key]: value }, yamlStyle)
    .trimEnd()
    .split('\n');
  const end = endOf(text, last?.value);
  if (end === undefined) return undefined;
  const added = lines.map((line) => `${indent}${line}\n`).join('');
  const before = text.slice(0, end);
  return `${before}${before.endsWith('\n') ? '' : '\n'}${added}${text.slice(end)}`;
}

/** The offset after the line on which a mapping's last value ends. */
function endOf(text: string, value: unknown): number | undefined {
  const node = value as { range?: [number, number, number] | null } | null | undefined;
  if (!node?.range) return undefined;
  const [, end] = node.range;
  if (text[end - 1] === '\n') return end;
  const newline = text.indexOf('\n', end);
  return newline === -1 ? text.length : newline + 1;
}

/** A string as it may stand anywhere in YAML, flow collections included. */
function inline(value: string): string {
  const plain = stringify(value, yamlStyle).trimEnd();
  return /[,[\]{}\n]/.test(plain) ? JSON.stringify(value) : plain;
}

function replaced(text: string, from: number, to: number, inserted: string): string {
  return text.slice(0, from) + inserted + text.slice(to);
}
