/** A bracket, or a string with whether it is a key. */
type JsonToken =
  | { readonly bracket: '{' | '}' | '[' | ']' }
  | { readonly string: string; readonly isKey: boolean; readonly offset: number };

/**
 * The first key that stands twice in one object of a JSON text, with the offset of its second place.
 * JSON.parse keeps the last of two in silence, and a bad merge makes just that.
 *
 * @param text JSON that JSON.parse accepts
 */
export function findDuplicateKey(
  text: string,
): { readonly key: string; readonly offset: number } | undefined {
  /** The keys of each object around the place, innermost last; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  for (const token of jsonTokens(text)) {
    if ('bracket' in token) {
      if (token.bracket === '{') open.push(new Set());
      else if (token.bracket === '[') open.push(undefined);
      else open.pop();
    } else if (token.isKey) {
      const key = JSON.parse(token.string) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return { key, offset: token.offset };
      keys?.add(key);
    }
  }
  return undefined;
}

/** Whether a text, JSON or not, opens more brackets inside each other than `depth`. */
export function isNestedDeeper(text: string, depth: number): boolean {
  let open = 0;
  for (const token of jsonTokens(text)) {
    if (!('bracket' in token)) continue;
    open += token.bracket === '{' || token.bracket === '[' ? 1 : -1;
    if (open > depth) return true;
  }
  return false;
}

/** By hand, since one expression for a string of megabytes overflows the engine's stack. */
function* jsonTokens(text: string): Generator<JsonToken> {
  const start = /["{}[\]]/g;
  const colon = /\s*:/y;
  for (let match = start.exec(text); match !== null; match = start.exec(text)) {
    const offset = match.index;
    if (match[0] !== '"') {
      yield { bracket: match[0] as '{' | '}' | '[' | ']' };
      continue;
    }
    const end = stringEnd(text, offset);
    colon.lastIndex = end;
    yield { string: text.slice(offset, end), isKey: colon.test(text), offset };
    start.lastIndex = end;
  }
}

function stringEnd(text: string, start: number): number {
  const special = /["\\]/g;
  special.lastIndex = start + 1;
  for (let match = special.exec(text); match !== null; match = special.exec(text)) {
    if (match[0] === '"') return match.index + 1;
    special.lastIndex = match.index + 2;
  }
  return text.length;
}
