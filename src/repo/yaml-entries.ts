import { isMap, type Pair, parseDocument } from 'yaml';
import type { FilePath } from './source-text.ts';
import { entryLines } from './yaml-place.ts';

/** A text cut at the entries of one of its mappings; put together again it is the same text. */
interface CutText {
  readonly head: string;
  /** By key, each with the comments and blank lines before it. */
  readonly entries: ReadonlyMap<string, string>;
  readonly tail: string;
}

/**
 * Our text in which each entry that only theirs changed, added or removed is as theirs has it, with
 * the comments around it. An entry that both changed is ours: what theirs changed in it is still to be
 * put in.
 *
 * @param path of a mapping whose entries are moved: `[]` for the document itself
 * @returns undefined when the mapping is not written line by line, or at other columns
 */
export function recombineEntries(
  texts: { readonly base: string; readonly ours: string; readonly theirs: string },
  path: FilePath,
): string | undefined {
  const empty: CutText = { head: '', entries: new Map(), tail: '' };
  const base = texts.base === '' ? empty : cut(texts.base, path);
  const [ours, theirs] = [cut(texts.ours, path), cut(texts.theirs, path)];
  if (base === undefined || ours === undefined || theirs === undefined) return undefined;
  if (columnOf(ours) !== columnOf(theirs)) return undefined;
  const entries = [...ours.entries].flatMap(([key, text]): [string, string][] => {
    const [before, other] = [base.entries.get(key), theirs.entries.get(key)];
    // What both had and theirs has no more: that ours did not change it, the caller has seen.
    if (other === undefined) return before === undefined ? [[key, text]] : [];
    return [[key, text === before ? other : text]];
  });
  const added = [...theirs.entries].filter(
    ([key]) => !ours.entries.has(key) && !base.entries.has(key),
  );
  for (const [key, text] of added) {
    const keys = [...theirs.entries.keys()];
    const earlier = keys.slice(0, keys.indexOf(key));
    const at = entries.findLastIndex(([other]) => earlier.includes(other));
    entries.splice(at + 1, 0, [key, text]);
  }
  const pick = (part: 'head' | 'tail') => (ours[part] === base[part] ? theirs[part] : ours[part]);
  const lines = [pick('head'), ...entries.map(([, text]) => text), pick('tail')];
  return lines.map((text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`)).join('');
}

/**
 * The text with some entries of a mapping edited, each by itself: the work is that of reading the
 * text once, however many they are.
 *
 * @param parent the mapping's key at the document's top
 * @param edit gets a text with the parent and the one entry
 * @returns undefined when the mapping is not written line by line, or an edit moved its first line
 */
export function editEntries(
  text: string,
  parent: string,
  keys: ReadonlySet<string>,
  edit: (text: string, key: string) => string,
): string | undefined {
  const parts = cut(text, [parent]);
  if (parts === undefined) return undefined;
  const first = `${parent}:\n`;
  let edited = parts.head;
  for (const [key, lines] of parts.entries) {
    const result = keys.has(key) ? edit(`${first}${lines}`, key) : `${first}${lines}`;
    if (!result.startsWith(first)) return undefined;
    edited += result.slice(first.length);
  }
  return edited + parts.tail;
}

function cut(text: string, path: FilePath): CutText | undefined {
  const document = parseDocument(text);
  const mapping = path.length === 0 ? document.contents : document.getIn(path, true);
  if (!isMap(mapping) || mapping.flow || mapping.items.length === 0) return undefined;
  const entries = new Map<string, string>();
  let head: string | undefined;
  let from = 0;
  for (const pair of mapping.items as Pair[]) {
    const lines = entryLines(text, pair);
    if (lines === undefined) return undefined;
    if (head === undefined) {
      head = text.slice(0, lines.start);
      from = lines.start;
    }
    entries.set(String(pair.key), text.slice(from, lines.end));
    from = lines.end;
  }
  return { head: head ?? '', entries, tail: text.slice(from) };
}

/** Of the keys, in characters. */
function columnOf({ entries }: CutText): number | undefined {
  const [first] = entries.values();
  return first === undefined ? undefined : first.length - first.trimStart().length;
}
