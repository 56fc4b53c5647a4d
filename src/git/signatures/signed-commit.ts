import { refused } from '../../errors.ts';

/** A commit object taken apart for the check of its signature. */
export interface SignedCommit {
  /** What the signature is over: the object without its signature headers, byte for byte. */
  readonly payload: Buffer;
  /** Armored; undefined when the commit is unsigned. */
  readonly signature: string | undefined;
  readonly committer: { readonly email: string; readonly time: number };
}

/** Of RSA with 16,384 bits, the longest there is, 3 KiB are needed; whoever wrote more is not yet believed. */
const longestSignature = 65_536;

/** Headers that a commit has once, in the order in which git reads them. */
const first = { tree: /^tree [0-9a-f]{40}$/, parent: /^parent [0-9a-f]{40}$/ };
const person = /^(?:author|committer) [^<>\0]*<([^<>\0]*)> (\d{1,12}) [+-]\d{4}$/;

/**
 * Takes a commit object apart as git does to verify it (commit.c, parse_buffer_signed_by_header), and
 * refuses what git never writes: whatever may be read in two ways would be signed in one and used in the
 * other.
 *
 * @throws RinglockError `commit-malformed`
 */
export function parseSignedCommit(content: Buffer): SignedCommit {
  if (content.includes(0)) throw malformed('it has a NUL byte');
  const bodyStart = content.indexOf('\n\n');
  const headEnd = bodyStart === -1 ? content.length : bodyStart + 1;
  const headers = readHeaders(content.toString('latin1', 0, headEnd));
  requireOrder(headers);
  const committer = headers.find(({ name }) => name === 'committer')?.text ?? '';
  const [, email = '', seconds = '0'] = person.exec(committer) ?? [];
  const unsigned = headers.filter(({ name }) => !isSignature(name));
  return {
    payload: Buffer.concat([
      Buffer.from(unsigned.map(({ text }) => `${text}\n`).join(''), 'latin1'),
      content.subarray(headEnd),
    ]),
    signature: signatureIn(headers),
    committer: {
      email: Buffer.from(email, 'latin1').toString('utf8'),
      time: Number(seconds) * 1000,
    },
  };
}

/** A header with the lines that continue it, each of which begins with a blank. */
interface Header {
  readonly name: string;
  readonly text: string;
}

function readHeaders(head: string): Header[] {
  if (!head.endsWith('\n')) throw malformed('its headers do not end');
  const headers: Header[] = [];
  for (const line of head.slice(0, -1).split('\n')) {
    const before = headers.at(-1);
    if (line.startsWith(' ') && before !== undefined) {
      headers.splice(-1, 1, { ...before, text: `${before.text}\n${line}` });
      continue;
    }
    const [, name] = /^(\S+)(?: |$)/.exec(line) ?? [];
    if (name === undefined) throw malformed(`${JSON.stringify(line.slice(0, 60))} is no header`);
    headers.push({ name, text: line });
  }
  return headers;
}

/** tree, parents, author, committer; then any others, of which none is one of these again. */
function requireOrder(headers: readonly Header[]): void {
  let at = 0;
  const take = (form: RegExp, what: string) => {
    if (!form.test(headers[at]?.text ?? '')) throw malformed(`it has no ${what} where one belongs`);
    at += 1;
  };
  take(first.tree, 'tree');
  while (headers[at]?.name === 'parent') take(first.parent, 'parent');
  for (const name of ['author', 'committer']) {
    if (headers[at]?.name !== name) throw malformed(`it has no ${name} where one belongs`);
    take(person, name);
  }
  const rest = headers.slice(at).map(({ name }) => name);
  for (const name of rest) {
    const isAgain = ['tree', 'parent', 'author', 'committer'].includes(name);
    const isTwice = isSignature(name) && rest.indexOf(name) !== rest.lastIndexOf(name);
    if (isAgain || isTwice) throw malformed(`its header ${name} is there again`);
    // git leaves such a header out of what is signed too.
    if (name.startsWith('gpgsig') && !isSignature(name)) throw malformed(`it has a header ${name}`);
  }
}

function isSignature(name: string): boolean {
  return name === 'gpgsig' || name === 'gpgsig-sha256';
}

function signatureIn(headers: readonly Header[]): string | undefined {
  const text = headers.find(({ name }) => name === 'gpgsig')?.text;
  if (text === undefined) return undefined;
  if (text.length > longestSignature) throw malformed(`its signature has ${text.length} bytes`);
  const lines = text.slice('gpgsig '.length).split('\n');
  return lines.map((line, index) => `${index === 0 ? line : line.slice(1)}\n`).join('');
}

function malformed(what: string): Error {
  return refused('commit-malformed', `it is not as git writes a commit: ${what}`);
}
