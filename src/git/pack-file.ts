import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { type Limits, overLimit } from '../repo/limits.ts';
import type { BaseCache } from './base-cache.ts';
import { applyDelta, deepestDelta } from './delta.ts';
import type { RawObject } from './object-store.ts';
import {
  type EntryHeader,
  inflateExactly,
  longestDeflated,
  longestHeader,
  readEntryHeader,
} from './pack-entry.ts';
import type { PackIndex } from './pack-index.ts';

const readAt = promisify(read);
const trailerLength = 20;

/**
 * Reads single objects from a pack on disk, each checked against its id. isomorphic-git reads a pack
 * whole into memory and inflates in JavaScript: ten times slower for a module's files (measured).
 */
export class PackFile {
  readonly #file: string;
  readonly #index: PackIndex;
  readonly #limits: Limits;
  #descriptor: number | undefined;
  #offsets: Float64Array | undefined;
  readonly #bases: BaseCache;

  constructor(file: string, index: PackIndex, limits: Limits, bases: BaseCache) {
    this.#file = file;
    this.#index = index;
    this.#limits = limits;
    this.#bases = bases;
  }

  has(oid: string): boolean {
    return this.#index.has(oid);
  }

  /**
   * @throws RinglockError `limit-exceeded`
   * @throws Error in plain words when the object is not as its id says
   */
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
    this.#bases.forget(this.#file);
  }

  /** Goes down to an object that is whole, then makes each of its deltas on the way back. */
  async #readAt(offset: number): Promise<RawObject> {
    const deltas: number[] = [];
    let at = offset;
    let object = this.#bases.get(this.#file, at);
    while (object === undefined) {
      const { entry, header } = await this.#readEntry(at);
      const { type, size } = header;
      if (type !== undefined) {
        object = this.#remember(at, { type, content: await this.#inflate(entry, header, size) });
        break;
      }
      deltas.push(at);
      if (deltas.length > deepestDelta) {
        throw new Error(`${this.#file} has a chain of more than ${deepestDelta} deltas`);
      }
      at = this.#baseOf(header, at);
      object = this.#bases.get(this.#file, at);
    }
    for (let next = deltas.pop(); next !== undefined; next = deltas.pop()) {
      const { entry, header } = await this.#readEntry(next);
      const delta = await this.#inflate(entry, header, header.size);
      const content = applyDelta(object.content, delta, this.#limits.file);
      object = this.#remember(next, { type: object.type, content });
    }
    return object;
  }

  async #inflate(entry: Buffer, { start }: EntryHeader, size: number): Promise<Buffer> {
    return (await inflateExactly(entry.subarray(start), size)).content;
  }

  /** They are often bases of others. */
  #remember(offset: number, object: RawObject): RawObject {
    this.#bases.remember(this.#file, offset, object);
    return object;
  }

  #baseOf({ distance, base }: EntryHeader, offset: number): number {
    if (distance !== undefined) {
      if (distance > 0 && distance <= offset) return offset - distance;
      throw new Error(`${this.#file} has a broken delta`);
    }
    const baseOffset = base === undefined ? undefined : this.#index.offsetOf(base);
    if (baseOffset === undefined) throw new Error(`${this.#file} lacks ${base}, a delta's base`);
    return baseOffset;
  }

  async #readEntry(offset: number): Promise<{ entry: Buffer; header: EntryHeader }> {
    this.#descriptor ??= openSync(this.#file, 'r');
    this.#offsets ??= this.#index.sortedOffsets();
    const next = firstAbove(this.#offsets, offset);
    const end = next ?? fstatSync(this.#descriptor).size - trailerLength;
    const longest = longestHeader + longestDeflated(this.#limits.file);
    const entry = Buffer.allocUnsafe(Math.min(Math.max(0, end - offset), longest));
    const { bytesRead } = await readAt(this.#descriptor, entry, 0, entry.length, offset);
    if (bytesRead !== entry.length || bytesRead === 0)
      throw new Error(`${this.#file} is too short`);
    const header = readEntryHeader(entry);
    if (header.size > this.#limits.file) throw overLimit('file', this.#limits, 'an object has');
    return { entry, header };
  }
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
