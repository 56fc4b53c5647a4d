import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, parseDocument } from 'yaml';
import type { FilePath } from './source-text.ts';
import { yamlStyle } from './yaml-edit.ts';

/**
 * The text without a key and its value. Only their lines go where the text around them allows it; else the
 * library writes the document anew, comments and order kept.
 *
 * @param text YAML of one document whose top is a mapping
 */
export function withoutYamlValue(text: string, path: FilePath): string {
  const document = parseDocument(text);
  if (!document.hasIn(path)) return text;
  document.deleteIn(path);
  const spliced = withoutLines(text, path);
  const same = spliced !== undefined && isDeepStrictEqual(toData(spliced), document.toJS());
  return same ? spliced : document.toString(yamlStyle);
}

function toData(text: string): unknown {
  const document = parseDocument(text);
  return document.errors.length === 0 ? document.toJS() : undefined;
}

function withoutLines(text: string, path: FilePath): string | undefined {
  const document = parseDocument(text);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent) || parent.flow || parent.items.length < 2) return undefined;
  const item = parent.items.find(({ key }) => isScalar(key) && key.value === path.at(-1));
  const value = item?.value as { range?: [number, number, number] | null } | null | undefined;
  if (!isScalar(item?.key) || !item.key.range || !value?.range) return undefined;
  const from = text.lastIndexOf('\n', item.key.range[0] - 1) + 1;
  const [, end] = value.range;
  const newline = text[end - 1] === '\n' ? end - 1 : text.indexOf('\n', end);
  return text.slice(0, from) + (newline === -1 ? '' : text.slice(newline + 1));
}
