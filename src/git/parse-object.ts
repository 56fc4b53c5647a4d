import { type RinglockError, refused } from '../errors.ts';
import { overFixedLimit } from '../repo/limits.ts';
import type { Commit, Signature, TreeEntry } from './object-store.ts';

/** Bytes of a tree: some 300,000 entries. */
const longestTree = 16 * 1024 * 1024;
const longestCommit = 1024 * 1024;

/**
 * A tree's entries: `<mode> <name>\0<id>` again and again, in git's order.
 *
 * @param idLength bytes of an id: 20, or 32 in a repository of SHA-256 ids
 * @throws RinglockError `malformed-object` for what git's own fsck calls no tree, `limit-exceeded`
 */
export function parseTree(oid: string, content: Buffer, idLength = 20): TreeEntry[] {
  if (content.length > longestTree) {
    throw overFixedLimit(`tree ${oid} has ${content.length} bytes, more than ${longestTree}`);
  }
  const entries: TreeEntry[] = [];
  const names = new Set<string>();
  let before: Buffer | undefined;
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const end = space === -1 ? -1 : content.indexOf(0, space);
    const next = end + 1 + idLength;
    if (end === -1 || next > content.length) throw malformed(oid, 'a tree', 'ends inside an entry');
    const mode = content.toString('latin1', at, space);
    if (!/^[0-7]{5,6}$/.test(mode)) {
      throw malformed(oid, 'a tree', `has an entry of mode ${JSON.stringify(mode.slice(0, 20))}`);
    }
    const entry: TreeEntry = {
      // git writes a directory's mode without its leading zero.
      mode: mode.padStart(6, '0'),
      path: content.toString('utf8', space + 1, end),
      oid: content.toString('hex', end + 1, next),
    };
    // As bytes: two names that are no UTF-8 read alike.
    const name = content.toString('latin1', space + 1, end);
    if (names.has(name)) throw malformed(oid, 'a tree', `has ${JSON.stringify(entry.path)} twice`);
    names.add(name);
    const key = sortKey(content.subarray(space + 1, end), entry.mode);
    if (before !== undefined && Buffer.compare(before, key) > 0) {
      throw malformed(oid, 'a tree', `is not sorted at ${JSON.stringify(entry.path)}`);
    }
    before = key;
    entries.push(entry);
    at = next;
  }
  return entries;
}

/** git sorts a directory as if its name ended in a slash. */
function sortKey(name: Buffer, mode: string): Buffer {
  return mode === '040000' ? Buffer.concat([name, Buffer.from('/')]) : name;
}

/**
 * A commit's headers and its message, with the signature (if any) left aside.
 *
 * @throws RinglockError `malformed-object`, `limit-exceeded`
 */
export function parseCommit(oid: string, content: Buffer): Commit {
  if (content.length > longestCommit) {
    throw overFixedLimit(`commit ${oid} has ${content.length} bytes, more than ${longestCommit}`);
  }
  const text = content.toString('utf8');
  const bodyStart = text.indexOf('\n\n');
  const head = bodyStart === -1 ? text : text.slice(0, bodyStart);
  const lines = head.split('\n');
  const values = (name: string): string[] =>
    lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
  const [tree = '', ...more] = values('tree');
  const parents = values('parent');
  const wrong = [tree, ...parents].find((id) => !/^[0-9a-f]{40}$/.test(id));
  if (wrong !== undefined || more.length > 0) {
    const what = more.length > 0 ? 'names several trees' : `names ${JSON.stringify(wrong)}`;
    throw malformed(oid, 'a commit', `${what}, expected the ids of one tree and of parents`);
  }
  return {
    oid,
    tree,
    parents,
    author: parseSignature(values('author')[0] ?? ''),
    committer: parseSignature(values('committer')[0] ?? ''),
    message: bodyStart === -1 ? '' : text.slice(bodyStart + 2),
  };
}

function malformed(oid: string, kind: string, what: string): RinglockError {
  return refused('malformed-object', `object ${oid} is ${kind} that ${what}`, {
    hint: 'No git command makes such a thing: look who pushed it, and with what (git fsck names it).',
  });
}

function parseSignature(text: string): Signature {
  const [, name = '', email = '', timestamp = '0'] =
    /^([^<]*?) ?<([^>]*)> (-?\d{1,15})(?: [+-]\d+)?$/.exec(text) ?? [];
  return { name, email, timestamp: Number(timestamp) };
}
