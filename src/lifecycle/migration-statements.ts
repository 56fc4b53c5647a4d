/** One statement of a SQL text. */
export interface SqlStatement {
  readonly text: string;
  /** Where it starts, in UTF-16 units. */
  readonly offset: number;
  /** Its first words in capitals. */
  readonly words: readonly string[];
}

/**
 * Cuts SQL at the semicolons that end statements: not those in strings, quoted names, dollar quotes,
 * comments, parentheses (create rule) or SQL-standard function bodies.
 * Source: PostgreSQL manual, 4.1 Lexical Structure.
 */
export function splitStatements(sql: string): SqlStatement[] {
  const statements: SqlStatement[] = [];
  let start: number | undefined;
  let words: string[] = [];
  let parentheses = 0;
  let bodies = 0;
  const finish = (end: number) => {
    if (start !== undefined) {
      statements.push({ text: sql.slice(start, end).trimEnd(), offset: start, words });
    }
    start = undefined;
    words = [];
    parentheses = 0;
    bodies = 0;
  };
  for (let at = 0; at < sql.length; ) {
    const end = tokenEnd(sql, at);
    const token = sql.slice(at, end);
    if (token === ';' && parentheses === 0 && bodies === 0) {
      finish(at);
    } else if (!isSpace(token)) {
      start ??= at;
      if (token === '(') parentheses++;
      else if (token === ')') parentheses = Math.max(0, parentheses - 1);
      else if (isWord(token)) {
        const word = token.toUpperCase();
        bodies = Math.max(0, bodies + bodyDepth(words, bodies, word, sql, end));
        if (words.length < 6) words.push(word);
      }
    }
    at = end;
  }
  finish(sql.length);
  return statements;
}

/** The first statement that would begin or end the migration's own transaction, with its line. */
export function findTransactionControl(
  sql: string,
): { readonly words: string; readonly line: number } | undefined {
  for (const { words, offset } of splitStatements(sql)) {
    const [first = '', second = '', third = ''] = words;
    const isControl =
      ['BEGIN', 'START', 'COMMIT', 'END', 'ABORT'].includes(first) ||
      (first === 'PREPARE' && second === 'TRANSACTION') ||
      // `rollback to savepoint` stays inside the transaction.
      (first === 'ROLLBACK' &&
        second !== 'TO' &&
        !(['WORK', 'TRANSACTION'].includes(second) && third === 'TO'));
    if (isControl) return { words: first, line: lineAt(sql, offset) };
  }
  return undefined;
}

/** Counted from 1. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split(/\r\n|\r|\n/).length;
}

const tokens = {
  space: /\s+/y,
  lineComment: /--[^\r\n]*/y,
  // Unrolled loops: a literal of megabytes must not exhaust the matcher's stack.
  escapeString: /[eE]'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'/y,
  string: /'[^']*(?:''[^']*)*'/y,
  quotedName: /"[^"]*(?:""[^"]*)*"/y,
  dollarTag: /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y,
  word: /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y,
} as const;

function tokenEnd(sql: string, at: number): number {
  const matchEnd = (pattern: RegExp): number | undefined => {
    pattern.lastIndex = at;
    return pattern.test(sql) ? pattern.lastIndex : undefined;
  };
  if (sql.startsWith('/*', at)) return blockCommentEnd(sql, at);
  const tagEnd = matchEnd(tokens.dollarTag);
  if (tagEnd !== undefined) {
    const tag = sql.slice(at, tagEnd);
    const close = sql.indexOf(tag, tagEnd);
    return close === -1 ? sql.length : close + tag.length;
  }
  for (const pattern of [
    tokens.space,
    tokens.lineComment,
    tokens.escapeString,
    tokens.string,
    tokens.quotedName,
    tokens.word,
  ]) {
    const end = matchEnd(pattern);
    if (end !== undefined) return end;
  }
  // A quote that nothing closes takes the rest: Postgres will say so.
  return sql[at] === "'" || sql[at] === '"' ? sql.length : at + 1;
}

/** Comments nest in SQL. */
function blockCommentEnd(sql: string, at: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = at;
  let depth = 0;
  for (let match = edge.exec(sql); match !== null; match = edge.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}

/** `create function … begin atomic … end` has semicolons of its own, and `case … end` inside it. */
function bodyDepth(
  words: readonly string[],
  bodies: number,
  word: string,
  sql: string,
  end: number,
): number {
  const isRoutine =
    words[0] === 'CREATE' && words.some((known) => known === 'FUNCTION' || known === 'PROCEDURE');
  if (!isRoutine) return 0;
  if (word === 'BEGIN') return /^\s+atomic\b/i.test(sql.slice(end, end + 200)) ? 1 : 0;
  if (bodies === 0) return 0;
  return word === 'CASE' ? 1 : word === 'END' ? -1 : 0;
}

function isWord(token: string): boolean {
  return /^[A-Za-z_\u0080-\uffff]/.test(token) && !/^[eE]'/.test(token);
}

function isSpace(token: string): boolean {
  return /^(\s|--|\/\*)/.test(token);
}
