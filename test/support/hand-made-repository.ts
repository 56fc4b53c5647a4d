import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { onEnd } from './cleanup.ts';
import { objectId, packOf } from './hand-made-pack.ts';

export type ObjectKind = 'commit' | 'tree' | 'blob' | 'tag';
const packType: Readonly<Record<ObjectKind, number>> = { commit: 1, tree: 2, blob: 3, tag: 4 };

/** An entry of a tree as it is to stand there, sense or nonsense. */
export interface HandMadeEntry {
  readonly mode?: string;
  readonly name: string | Uint8Array;
  readonly oid: string;
}

/** Objects that no git command would make, and the commit that the branch `main` is at. */
export class HandMadeRepository {
  readonly #objects = new Map<string, { kind: ObjectKind; content: Buffer; refers: string[] }>();
  tip = '';

  add(kind: ObjectKind, content: Uint8Array | string, refers: readonly string[] = []): string {
    const bytes = Buffer.from(content);
    const oid = objectId(kind, bytes);
    this.#objects.set(oid, { kind, content: bytes, refers: [...refers] });
    return oid;
  }

  blob(content: Uint8Array | string): string {
    return this.add('blob', content);
  }

  /** A tree with its entries in the order given, or sorted as git has them. */
  tree(entries: readonly HandMadeEntry[], order: 'as given' | 'sorted' = 'sorted'): string {
    const sorted = order === 'sorted' ? [...entries].sort(byName) : entries;
    const bytes = sorted.map(({ mode = '100644', name, oid }) =>
      Buffer.concat([
        Buffer.from(`${mode} `),
        Buffer.from(name),
        Buffer.from([0]),
        Buffer.from(oid, 'hex'),
      ]),
    );
    const refers = entries.filter(({ mode }) => mode !== '160000').map(({ oid }) => oid);
    return this.add('tree', Buffer.concat(bytes), refers);
  }

  /** A tree of files and folders by path. */
  files(files: Readonly<Record<string, string | Uint8Array>>): string {
    const folders = new Map<string, Record<string, string | Uint8Array>>();
    const entries: HandMadeEntry[] = [];
    for (const [path, content] of Object.entries(files)) {
      const slash = path.indexOf('/');
      if (slash === -1) entries.push({ name: path, oid: this.blob(content) });
      else {
        const below = folders.get(path.slice(0, slash)) ?? {};
        below[path.slice(slash + 1)] = content;
        folders.set(path.slice(0, slash), below);
      }
    }
    for (const [name, below] of folders) {
      entries.push({ mode: '40000', name, oid: this.files(below) });
    }
    return this.tree(entries);
  }

  commit(tree: string, parents: readonly string[], author = 'Eve <eve@example.com>'): string {
    const lines = [
      `tree ${tree}`,
      ...parents.map((parent) => `parent ${parent}`),
      `author ${author} 1764000000 +0000`,
      `committer ${author} 1764000000 +0000`,
    ];
    return this.add('commit', `${lines.join('\n')}\n\nA commit\n`, [tree]);
  }

  /** A pack of the objects asked for, with all that they refer to unless they are to come alone. */
  packOf(wants: readonly string[], isAlone: boolean): Buffer | undefined {
    const found = new Set<string>();
    const pending = [...wants];
    for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
      if (found.has(oid)) continue;
      const object = this.#objects.get(oid);
      if (object === undefined && wants.includes(oid)) return undefined;
      if (object === undefined) continue;
      found.add(oid);
      if (!isAlone) pending.push(...object.refers);
    }
    const objects = [...found].flatMap((oid) => this.#objects.get(oid) ?? []);
    return packOf(objects.map(({ kind, content }) => ({ type: packType[kind], content })));
  }
}

/** As git sorts a tree: a folder as if its name ended in a slash. */
function byName(a: HandMadeEntry, b: HandMadeEntry): number {
  const key = ({ mode, name }: HandMadeEntry) =>
    Buffer.concat([Buffer.from(name), Buffer.from(mode === '40000' ? '/' : '')]);
  return Buffer.compare(key(a), key(b));
}

/** Serves a repository over protocol 2 as a server does that checks nothing. @returns its URL */
export async function serveHandMade(
  t: TestContext,
  repository: HandMadeRepository,
): Promise<string> {
  return serveAnswers(t, (request, body) => {
    if (request.url?.includes('/info/refs')) {
      return packets('version 2', 'ls-refs', 'fetch=filter shallow', 'object-format=sha1', null);
    }
    if (body.includes('command=ls-refs')) {
      return packets(`${repository.tip} refs/heads/main`, null);
    }
    const wants = [...body.matchAll(/want ([0-9a-f]{40})/g)].map(([, oid = '']) => oid);
    const pack = repository.packOf(wants, body.includes('filter tree:0'));
    if (pack === undefined) return packets(`ERR upload-pack: not our ref ${wants.join(' ')}`);
    const acknowledged = body.includes('have ') && !body.includes('done');
    return Buffer.concat([
      acknowledged ? packets('acknowledgments', 'ready', undefined) : Buffer.alloc(0),
      packets('packfile'),
      ...sideband(1, pack),
      packets(null),
    ]);
  });
}

export type Answer = (
  request: IncomingMessage,
  body: string,
  response: ServerResponse,
) => Uint8Array | undefined;

/** Answers every request of git as told, with git's content types; undefined: it was answered. */
export async function serveAnswers(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    const kind = request.url?.includes('/info/refs') ? 'advertisement' : 'result';
    response.setHeader('content-type', `application/x-git-upload-pack-${kind}`);
    const bytes = answer(request, body.toString(), response);
    if (bytes !== undefined) response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/platform.git`;
}

/** Packets of text lines; null is a flush, undefined a delimiter. */
export function packets(...lines: readonly (string | null | undefined)[]): Buffer {
  const parts = lines.map((line) => {
    if (line === null) return Buffer.from('0000');
    if (line === undefined) return Buffer.from('0001');
    const text = Buffer.from(`${line}\n`);
    return Buffer.concat([Buffer.from((text.length + 4).toString(16).padStart(4, '0')), text]);
  });
  return Buffer.concat(parts);
}

/** Content in packets of a side-band's channel: 1 pack, 2 progress, 3 error. */
export function sideband(channel: number, content: Uint8Array): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < content.length; start += 65_000) {
    const piece = content.subarray(start, start + 65_000);
    const length = (piece.length + 5).toString(16).padStart(4, '0');
    parts.push(Buffer.from(length), Buffer.from([channel]), Buffer.from(piece));
  }
  return parts;
}
