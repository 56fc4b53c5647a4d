import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { inflate, inflateSync } from 'node:zlib';
import { applyDelta } from './delta.ts';
import type { ObjectType, RawObject } from './object-store.ts';
import type { PackIndex } from './pack-index.ts';

const readAt = promisify(read);
const inflateInBackground = promisify(inflate);

const typeOfNumber: Readonly<Record<number, ObjectType>> = {
  1: 'commit',
  2: 'tree',
  3: 'blob',
  4: 'tag',
};
const offsetDelta = 6;
const idDelta = 7;
const trailerLength = 20;
/** Below this, handing an object to another thread takes longer than inflating it. */
const inflatedHere = 65_536;
const cacheBytes = 16 * 1024 * 1024;
/** zlib takes no smaller one. */
const smallestChunk = 64;

/**
 * Reads single objects from a pack on disk, each checked against its id. isomorphic-git reads a pack
 * whole into memory and inflates in JavaScript: ten times slower for a module's files (measured).
 */
export class PackFile {
  readonly #file: string;
  readonly #index: PackIndex;
  #descriptor: number | undefined;
  #offsets: Float64Array | undefined;
  #bases = new Map<number, RawObject>();
  #basesBytes = 0;

  constructor(file: string, index: PackIndex) {
    this.#file = file;
    this.#index = index;
  }

  has(oid: string): boolean {
    return this.#index.has(oid);
  }

  /** @throws Error in plain words when the object is not as its id says */
  async read(oid: string): Promise<RawObject> {
    const offset = this.#index.offsetOf(oid);
    if (offset === undefined) throw new Error(`${this.#file} does not have it`);
    const object = await this.#readAt(offset);
    const hash = createHash('sha1').update(`${object.type} ${object.content.length}\0`);
    const found = hash.update(object.content).digest('hex');
    if (found !== oid) throw new Error(`${this.#file} has ${found} in its place`);
    return object;
  }

  /** Closes the file and forgets what was read; the next read opens it again. */
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.forget();
  }

  /** Forgets what was read; also while something is being read. */
  forget(): void {
    this.#offsets = undefined;
    this.#bases.clear();
    this.#basesBytes = 0;
  }

  async #readAt(offset: number): Promise<RawObject> {
    const known = this.#bases.get(offset);
    if (known !== undefined) return known;
    const entry = await this.#readEntry(offset);
    const { type, size, start } = readHeader(entry);
    const plainType = typeOfNumber[type];
    if (plainType !== undefined) {
      return this.#remember(offset, {
        type: plainType,
        content: await inflated(entry.subarray(start), size),
      });
    }
    const { baseOffset, deltaStart } = this.#baseOf(entry, type, start, offset);
    const base = await this.#readAt(baseOffset);
    const delta = await inflated(entry.subarray(deltaStart), size);
    return this.#remember(offset, { type: base.type, content: applyDelta(base.content, delta) });
  }

  /** Small objects are kept for a while: they are often bases of others. */
  #remember(offset: number, object: RawObject): RawObject {
    if (object.content.length > cacheBytes / 16) return object;
    this.#bases.set(offset, object);
    this.#basesBytes += object.content.length;
    for (const [oldest, { content }] of this.#bases) {
      if (this.#basesBytes <= cacheBytes) break;
      this.#bases.delete(oldest);
      this.#basesBytes -= content.length;
    }
    return object;
  }

  #baseOf(
    entry: Buffer,
    type: number,
    start: number,
    offset: number,
  ): { baseOffset: number; deltaStart: number } {
    if (type === offsetDelta) {
      const { distance, end } = readDistance(entry, start);
      if (distance <= 0 || distance > offset) throw new Error(`${this.#file} has a broken delta`);
      return { baseOffset: offset - distance, deltaStart: end };
    }
    if (type !== idDelta) throw new Error(`${this.#file} has an object of type ${type}`);
    const base = entry.toString('hex', start, start + 20);
    const baseOffset = this.#index.offsetOf(base);
    if (baseOffset === undefined) throw new Error(`${this.#file} lacks ${base}, a delta's base`);
    return { baseOffset, deltaStart: start + 20 };
  }

  async #readEntry(offset: number): Promise<Buffer> {
    this.#descriptor ??= openSync(this.#file, 'r');
    this.#offsets ??= this.#index.sortedOffsets();
    const next = firstAbove(this.#offsets, offset);
    const end = next ?? fstatSync(this.#descriptor).size - trailerLength;
    const entry = Buffer.allocUnsafe(Math.max(0, end - offset));
    const { bytesRead } = await readAt(this.#descriptor, entry, 0, entry.length, offset);
    if (bytesRead !== entry.length || bytesRead === 0)
      throw new Error(`${this.#file} is too short`);
    return entry;
  }
}

/** Type, inflated size and where the data starts; the size's lowest four bits come first. */
function readHeader(entry: Buffer): { type: number; size: number; start: number } {
  let byte = entry.readUInt8(0);
  const type = (byte >> 4) & 7;
  let size = byte & 15;
  let start = 1;
  for (let factor = 16; byte & 0x80; factor *= 128) {
    byte = entry.readUInt8(start++);
    size += (byte & 0x7f) * factor;
  }
  return { type, size, start };
}

/** How far before a delta its base starts: seven bits a byte, each continuation counting from one. */
function readDistance(entry: Buffer, start: number): { distance: number; end: number } {
  let end = start;
  let byte = entry.readUInt8(end++);
  let distance = byte & 0x7f;
  while (byte & 0x80) {
    byte = entry.readUInt8(end++);
    distance = (distance + 1) * 128 + (byte & 0x7f);
  }
  return { distance, end };
}

/** Into a buffer of its own size: by default a few bytes would keep 16 KiB alive for as long as they live. */
async function inflated(bytes: Buffer, size: number): Promise<Buffer> {
  const options = { chunkSize: Math.max(smallestChunk, size + 1) };
  const content =
    size < inflatedHere ? inflateSync(bytes, options) : await inflateInBackground(bytes, options);
  if (content.length !== size) {
    throw new Error(`an object has ${content.length} bytes, expected ${size}`);
  }
  return content;
}

function firstAbove(sorted: Float64Array, value: number): number | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return sorted[low];
}
