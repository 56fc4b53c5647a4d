import type { Commit, Signature, TreeEntry } from './object-store.ts';

/** A tree's entries: `<mode> <name>\0<20 bytes of id>`, in git's order. */
export function parseTree(content: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, space);
    if (space === -1 || end === -1 || end + 21 > content.length) {
      throw new Error('a tree ends inside an entry');
    }
    entries.push({
      // git writes a directory's mode without its leading zero.
      mode: content.toString('latin1', at, space).padStart(6, '0'),
      path: content.toString('utf8', space + 1, end),
      oid: content.toString('hex', end + 1, end + 21),
    });
    at = end + 21;
  }
  return entries;
}

/** A commit's headers and its message, with the signature (if any) left aside. */
export function parseCommit(oid: string, content: Buffer): Commit {
  const text = content.toString('utf8');
  const bodyStart = text.indexOf('\n\n');
  const head = bodyStart === -1 ? text : text.slice(0, bodyStart);
  const values = (name: string): string[] =>
    head
      .split('\n')
      .filter((line) => line.startsWith(`${name} `))
      .map((line) => line.slice(name.length + 1));
  return {
    oid,
    tree: values('tree')[0] ?? '',
    parents: values('parent'),
    author: parseSignature(values('author')[0] ?? ''),
    committer: parseSignature(values('committer')[0] ?? ''),
    message: bodyStart === -1 ? '' : text.slice(bodyStart + 2),
  };
}

function parseSignature(text: string): Signature {
  const [, name = '', email = '', timestamp = '0'] =
    /^(.*?) ?<(.*?)> (-?\d+)(?: [+-]\d+)?$/.exec(text) ?? [];
  return { name, email, timestamp: Number(timestamp) };
}
