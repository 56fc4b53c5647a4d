import { Lexer } from 'yaml';

/** Tokens of one file: a node costs some hundred bytes, and a file of a megabyte can have a million. */
const mostTokens = 200_000;
/** Brackets inside each other, or indicators (`- - -`) on one line: parsing them is recursive. */
const deepest = 64;

/**
 * Why a YAML text would cost too much to parse, by its tokens alone; undefined when it would not.
 * (What its aliases expand to is bounded where it becomes plain data.)
 */
export function yamlExcess(text: string): string | undefined {
  let tokens = 0;
  let brackets = 0;
  let indicators = 0;
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (token === '[' || token === '{') brackets += 1;
    else if (token === ']' || token === '}') brackets -= 1;
    else if (token === '-' || token === '?' || token === ':') indicators += 1;
    else if (token === '\n' || token === '\r\n') indicators = 0;
    if (tokens > mostTokens) return `it has more than ${mostTokens} tokens`;
    // Inside brackets many keys stand on one line.
    if (brackets > deepest || (brackets === 0 && indicators > deepest)) {
      return `it is nested deeper than ${deepest}`;
    }
  }
  return undefined;
}
