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
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [found, colon] = match;
    if (found === '{') open.push(new Set());
    else if (found === '[') open.push(undefined);
    else if (found === '}' || found === ']') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(found.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return { key, offset: match.index };
      keys?.add(key);
    }
  }
  return undefined;
}
