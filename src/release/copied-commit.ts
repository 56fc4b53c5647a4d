/**
 * What `git log` says of a commit with the format below. Bytes are held as Latin-1 text, a character
 * each, since neither names nor messages need be UTF-8.
 */
export interface CommitText {
  readonly oid: string;
  readonly author: string;
  readonly committer: string;
  readonly message: string;
}

/** For `git log -z --date=raw`; git itself re-encodes by the `encoding` header. */
export const commitTextFormat = '%H%n%an%n%ae%n%ad%n%cn%n%ce%n%cd%n%B';

/** One record of that output, as `git commit-tree` writes identities after git-subtree's `read`. */
export function parseCommitText(record: Buffer): CommitText {
  const lines: string[] = [];
  let at = 0;
  for (let line = 0; line < 7; line++) {
    const end = record.indexOf(0x0a, at);
    lines.push(record.toString('latin1', at, end === -1 ? record.length : end));
    at = end === -1 ? record.length : end + 1;
  }
  const [oid = '', name = '', email = '', date = '', ...committer] = lines;
  return {
    oid,
    author: identity(name, email, date),
    committer: identity(committer[0] ?? '', committer[1] ?? '', committer[2] ?? ''),
    message: record.toString('latin1', at),
  };
}

/** A commit object's content, byte for byte what `git commit-tree` would write. */
export function copiedCommit(
  { author, committer, message }: CommitText,
  tree: string,
  parents: readonly string[],
): Buffer {
  const head = [
    `tree ${tree}`,
    ...parents.map((parent) => `parent ${parent}`),
    `author ${author}`,
    `committer ${committer}`,
  ];
  return asUtf8(Buffer.from(`${head.join('\n')}\n\n${message}`, 'latin1'));
}

function identity(name: string, email: string, date: string): string {
  return `${withoutCrud(name)} <${withoutCrud(email)}> ${normalDate(date)}`;
}

/**
 * `read` without -r takes backslashes away; commit-tree takes punctuation, blanks and control characters
 * from both ends, and angle brackets everywhere (strbuf_addstr_without_crud of git's ident.c).
 */
function withoutCrud(text: string): string {
  return text
    .replace(/\\(.?)/gs, '$1')
    .replace(/^[\0- .,:;<>"\\']+/, '')
    .replace(/[\0- .,:;<>"\\']+$/, '')
    .replace(/[\n<>]/g, '');
}

/**
 * The date survives as RFC 2822 text of its own time zone, which git reads again (date.c): a zone that
 * is none is forgotten and the text taken for local time, here for UTC. A year that git does not read,
 * where git-subtree fails, is left as it is.
 */
function normalDate(raw: string): string {
  const [, seconds = '0', sign = '+', digits = '0000'] = /^(-?\d+) ([+-])(\d+)$/.exec(raw) ?? [];
  const zone = Number(digits);
  const minutes = Math.floor(zone / 100) * 60 + (zone % 100);
  const offset = sign === '-' ? -minutes : minutes;
  const isZone = zone % 100 < 60 && zone < 2400 && offset !== -1;
  const local = Number(seconds) + offset * 60;
  if (isZone || local < 0 || local >= year2100) {
    return `${seconds} ${zone === 0 ? '+' : sign}${digits.padStart(4, '0')}`;
  }
  return `${local} +0000`;
}

const year2100 = Date.UTC(2100, 0) / 1000;

/** Each byte that is no part of valid UTF-8 as the Latin-1 character it may have been meant as. */
function asUtf8(bytes: Buffer): Buffer {
  let bad = findInvalid(bytes, 0);
  if (bad === -1) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  while (bad !== -1) {
    parts.push(
      bytes.subarray(at, bad),
      Buffer.from(bytes.toString('latin1', bad, bad + 1), 'utf8'),
    );
    at = bad + 1;
    bad = findInvalid(bytes, at);
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

const least = [0, 0x80, 0x800, 0x10000];

/**
 * As commit.c of git sees it, which also calls U+FDD0 to U+FDEF and every U+xxFFFE and U+xxFFFF invalid.
 *
 * @returns where the first invalid sequence begins, or -1
 */
function findInvalid(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const first = bytes[at] ?? 0;
    if (first < 0x80) continue;
    const more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : 0;
    if (more === 0 || at + more >= bytes.length) return at;
    let point = first & (0x3f >> more);
    for (let next = 1; next <= more; next++) {
      const byte = bytes[at + next] ?? 0;
      if ((byte & 0xc0) !== 0x80) return at;
      point = (point << 6) | (byte & 0x3f);
    }
    if (point < (least[more] ?? 0) || point > 0x10ffff || isNoCharacter(point)) return at;
    at += more;
  }
  return -1;
}

function isNoCharacter(point: number): boolean {
  const isSurrogate = point >= 0xd800 && point <= 0xdfff;
  return isSurrogate || (point & 0xfffe) === 0xfffe || (point >= 0xfdd0 && point <= 0xfdef);
}
