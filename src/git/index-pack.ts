import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { environmentFailed, RinglockError } from '../errors.ts';
import { type Limits, overFixedLimit, overLimit } from '../repo/limits.ts';
import { applyDelta, deepestDelta } from './delta.ts';
import type { ObjectType } from './object-store.ts';
import { inflateExactly, longestDeflated, longestHeader, readEntryHeader } from './pack-entry.ts';
import type { PackedObject } from './pack-index.ts';

const headerLength = 12;
const trailerLength = 20;

/** Objects of one pack; each costs some 200 bytes of memory while the pack is looked through. */
const mostObjects = 1_000_000;
/** A pack unpacks to so many times its own limit at most: text of long histories makes 50. */
const mostUnpacked = 8;
/** Bases that are held while their deltas are made, as a multiple of one object's limit. */
const mostHeld = 4;

/**
 * Looks through a pack from front to back and finds every object's id, deltas included, holding no more
 * than a few objects at a time. The whole of it has to be right: a pack may lie in its headers, inflate
 * to a thousand times its size, or make gigabytes of a few deltas.
 *
 * @param count objects that the pack's header claims
 * @param size the pack's bytes
 * @throws RinglockError `fetch-corrupt`, `limit-exceeded`
 */
export async function indexPack(
  path: string,
  { count, size }: { readonly count: number; readonly size: number },
  limits: Limits,
): Promise<readonly PackedObject[]> {
  if (count > mostObjects)
    throw overFixedLimit(`a pack has ${count} objects, more than ${mostObjects}`);
  const file = await open(path, 'r');
  try {
    const pack = new PackReader(file, size - trailerLength);
    const indexing = new PackIndexing(pack, new Unpacked(limits), limits);
    await indexing.scan(count);
    await indexing.resolve();
    return indexing.objects();
  } catch (error) {
    if (error instanceof RinglockError) throw error;
    throw environmentFailed('fetch-corrupt', `a pack cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}

interface Entry {
  readonly offset: number;
  readonly crc32: number;
  /** The base's id, where a delta names it so. */
  readonly base: string | undefined;
  oid: string | undefined;
}

/** Whose content is at hand, and what is still to be made of it. */
interface Base {
  readonly type: ObjectType;
  readonly content: Buffer;
  readonly depth: number;
  readonly deltas: number[];
}

class PackIndexing {
  readonly #pack: PackReader;
  readonly #unpacked: Unpacked;
  readonly #limits: Limits;
  readonly #entries: Entry[] = [];
  readonly #entryAt = new Map<number, number>();
  /** Entry → those that are deltas of it. */
  readonly #deltasOf = new Map<number, number[]>();
  /** Base's id → the deltas that name it. */
  readonly #deltasOfId = new Map<string, number[]>();

  constructor(pack: PackReader, unpacked: Unpacked, limits: Limits) {
    this.#pack = pack;
    this.#unpacked = unpacked;
    this.#limits = limits;
  }

  /** Front to back: where each entry ends shows only when it is inflated. */
  async scan(count: number): Promise<void> {
    let offset = headerLength;
    for (let index = 0; index < count; index++) {
      const { header, content, end } = await this.#readAt(offset);
      const { type, base } = header;
      const oid = type && objectId(type, content);
      this.#entries.push({ offset, crc32: crc32(await this.#pack.read(offset, end)), base, oid });
      if (header.distance !== undefined) {
        const before = this.#entryAt.get(offset - header.distance);
        if (before === undefined) throw new Error('a delta names a base where no object starts');
        append(this.#deltasOf, before, index);
      } else if (base !== undefined) append(this.#deltasOfId, base, index);
      this.#entryAt.set(offset, index);
      offset = end;
    }
    if (offset !== this.#pack.end) {
      throw new Error(`${this.#pack.end - offset} bytes stand after its ${count} objects`);
    }
  }

  /** Makes every delta once, each when its base is at hand. */
  async resolve(): Promise<void> {
    for (const [index, { oid, offset }] of this.#entries.entries()) {
      if (oid === undefined) continue;
      const deltas = this.#takeDeltas(index, oid);
      if (deltas.length === 0) continue;
      const { header, content } = await this.#readAt(offset);
      if (header.type !== undefined) {
        await this.#makeDeltas({ type: header.type, content, depth: 0, deltas });
      }
    }
  }

  /** In the order of their ids. */
  objects(): PackedObject[] {
    const objects: PackedObject[] = [];
    for (const { oid, offset, crc32 } of this.#entries) {
      if (oid !== undefined) objects.push({ oid, offset, crc32 });
    }
    const { length } = this.#entries;
    if (objects.length < length) {
      throw environmentFailed(
        'fetch-corrupt',
        `only ${objects.length} of a pack's ${length} objects can be read`,
      );
    }
    objects.sort((a, b) => (a.oid < b.oid ? -1 : 1));
    const twice = objects.find(({ oid }, index) => oid === objects[index + 1]?.oid);
    if (twice !== undefined) throw new Error(`it has ${twice.oid} twice`);
    return objects;
  }

  async #makeDeltas(root: Base): Promise<void> {
    const open = [root];
    let held = root.content.length;
    for (let base = open.at(-1); base !== undefined; base = open.at(-1)) {
      const index = base.deltas.pop();
      if (index === undefined) {
        open.pop();
        held -= base.content.length;
        continue;
      }
      // A base with one delta left is let go of before those that follow are made.
      if (base.deltas.length === 0) {
        open.pop();
        held -= base.content.length;
      }
      const made = await this.#makeDelta(base, index);
      if (made.deltas.length === 0) continue;
      held += made.content.length;
      if (held > mostHeld * this.#limits.file) {
        throw overLimit('file', this.#limits, 'the deltas of a pack need at once', mostHeld);
      }
      open.push(made);
    }
  }

  async #makeDelta({ type, content, depth }: Base, index: number): Promise<Base> {
    const entry = this.#entries[index];
    if (entry === undefined) throw new Error(`it has no object ${index}`);
    if (depth >= deepestDelta) {
      throw overFixedLimit(
        `a pack has a chain of more than ${deepestDelta} deltas`,
        'Repack the repository on its server: git repack -adf --depth=50.',
      );
    }
    const delta = await this.#readAt(entry.offset);
    const made = applyDelta(content, delta.content, this.#limits.file);
    this.#unpacked.add(made.length);
    const oid = objectId(type, made);
    entry.oid = oid;
    return { type, content: made, depth: depth + 1, deltas: this.#takeDeltas(index, oid) };
  }

  /** The deltas of an object, which are then nobody else's. */
  #takeDeltas(index: number, oid: string): number[] {
    const deltas = [...(this.#deltasOf.get(index) ?? []), ...(this.#deltasOfId.get(oid) ?? [])];
    this.#deltasOf.delete(index);
    this.#deltasOfId.delete(oid);
    return deltas;
  }

  async #readAt(offset: number) {
    const { file } = this.#limits;
    const header = readEntryHeader(await this.#pack.read(offset, offset + longestHeader));
    if (header.size > file) throw overLimit('file', this.#limits, 'an object has');
    this.#unpacked.add(header.size);
    const start = offset + header.start;
    const deflated = await this.#pack.read(start, start + longestDeflated(header.size));
    const { content, consumed } = await inflateExactly(deflated, header.size);
    return { header, content, end: start + consumed };
  }
}

/** Counts what a pack makes of itself. */
class Unpacked {
  readonly #limits: Limits;
  #bytes = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#limits.fetch * mostUnpacked) return;
    throw overLimit('fetch', this.#limits, 'a pack unpacks to', mostUnpacked);
  }
}

const readAhead = 256 * 1024;

/** Gives any part of a pack, which is read in larger pieces than are asked for. */
class PackReader {
  readonly #file: FileHandle;
  /** Where the trailer starts. */
  readonly end: number;
  #piece: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle, end: number) {
    this.#file = file;
    this.end = end;
  }

  /** The bytes from `start` up to `end` or the trailer. */
  async read(start: number, end: number): Promise<Buffer> {
    const until = Math.min(end, this.end);
    if (start < this.#start || until > this.#start + this.#piece.length) {
      const length = Math.max(0, Math.min(Math.max(until - start, readAhead), this.end - start));
      const piece = Buffer.allocUnsafe(length);
      const { bytesRead } = await this.#file.read(piece, 0, length, start);
      if (bytesRead < length) throw new Error('it ended while it was read');
      this.#piece = piece;
      this.#start = start;
    }
    const piece = this.#piece.subarray(start - this.#start, Math.max(start, until) - this.#start);
    if (piece.length === 0) throw new Error('it has fewer objects than it says');
    return piece;
  }
}

function objectId(type: ObjectType, content: Buffer): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

function append<Key>(map: Map<Key, number[]>, key: Key, value: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
