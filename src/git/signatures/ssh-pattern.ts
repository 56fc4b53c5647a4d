/**
 * Matches a list of patterns as ssh_config(5) has it: `*` and `?` stand for what they do in a shell,
 * `!` before a pattern excludes what it matches, whatever else does.
 */
export function matchesPatternList(text: string, patterns: string): boolean {
  let isMatched = false;
  for (const pattern of patterns.split(',')) {
    const isNegated = pattern.startsWith('!');
    if (!matchesPattern(text, isNegated ? pattern.slice(1) : pattern)) continue;
    if (isNegated) return false;
    isMatched = true;
  }
  return isMatched;
}

/** In time that grows with both lengths only: of several stars, the last one alone is tried again. */
function matchesPattern(text: string, pattern: string): boolean {
  let [at, next] = [0, 0];
  let star: { pattern: number; text: number } | undefined;
  while (at < text.length) {
    const wanted = pattern[next];
    if (wanted === '*') {
      star = { pattern: next, text: at };
      next += 1;
    } else if (wanted === '?' || (wanted !== undefined && wanted === text[at])) {
      at += 1;
      next += 1;
    } else if (star !== undefined) {
      star = { ...star, text: star.text + 1 };
      at = star.text;
      next = star.pattern + 1;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(next));
}
