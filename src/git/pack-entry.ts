import { promisify } from 'node:util';
import { type InputType, inflate, inflateSync, type ZlibOptions } from 'node:zlib';
import type { ObjectType } from './object-store.ts';

/** What stands before an object's deflated bytes in a pack (gitformat-pack). */
export interface EntryHeader {
  /** Of a whole object; undefined for a delta. */
  readonly type: ObjectType | undefined;
  /** Of what is deflated: the object, or the delta. */
  readonly size: number;
  /** Where the deflated bytes start, from the entry's start. */
  readonly start: number;
  /** A delta's base: how far before this entry its own starts. */
  readonly distance?: number;
  /** A delta's base: its id. */
  readonly base?: string;
}

/** Bytes that hold any header: type and size, then a distance or an id. */
export const longestHeader = 64;

const typeOfNumber: Readonly<Record<number, ObjectType>> = {
  1: 'commit',
  2: 'tree',
  3: 'blob',
  4: 'tag',
};
const offsetDelta = 6;
const idDelta = 7;
const idLength = 20;

/** @throws Error in plain words when there is no such header */
export function readEntryHeader(entry: Buffer): EntryHeader {
  const { number, size, start } = readTypeAndSize(entry);
  const type = typeOfNumber[number];
  if (type !== undefined) return { type, size, start };
  if (number === offsetDelta) {
    const { distance, end } = readDistance(entry, start);
    return { type, size, start: end, distance };
  }
  if (number !== idDelta) throw new Error(`an object has type ${number}`);
  const end = start + idLength;
  if (end > entry.length) throw new Error('a delta ends inside the id of its base');
  return { type, size, start: end, base: entry.toString('hex', start, end) };
}

/** The size's lowest four bits come first. */
function readTypeAndSize(entry: Buffer): { number: number; size: number; start: number } {
  let byte = entry.readUInt8(0);
  const number = (byte >> 4) & 7;
  let size = byte & 15;
  let start = 1;
  for (let factor = 16; byte & 0x80; factor *= 128) {
    byte = entry.readUInt8(start++);
    size += (byte & 0x7f) * factor;
  }
  return { number, size, start };
}

/** Seven bits a byte, each continuation counting from one. */
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

/** The most bytes that deflate makes of `size` bytes, whoever writes it. */
export function longestDeflated(size: number): number {
  return size + Math.floor(size / 8) + 1024;
}

/** Below this, handing an object to another thread takes longer than inflating it. */
const inflatedHere = 65_536;

/**
 * Inflates exactly `size` bytes, and no more than that is ever held: a deflated stream may claim to be
 * a thousand times as long as it is.
 *
 * @param bytes start with the deflated stream, and may go on after its end
 * @returns the content, and how many of the bytes it took
 * @throws Error in plain words when it makes another number of bytes
 */
export async function inflateExactly(
  bytes: Buffer,
  size: number,
): Promise<{ content: Buffer; consumed: number }> {
  const options = { maxOutputLength: Math.max(1, size), chunkSize: size + 64, info: true };
  const run = size < inflatedHere ? inflateHere : inflateInBackground;
  try {
    const { buffer, engine } = await run(bytes, options);
    if (buffer.length === size) return { content: buffer, consumed: engine.bytesWritten };
    throw new Error(`an object has ${buffer.length} bytes, expected ${size}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    throw new Error(`an object has more than the ${size} bytes that it says`);
  }
}

/** What zlib gives with `info`; its types know of the plain buffer only. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}
type Inflate = (bytes: InputType, options: ZlibOptions) => Inflated | Promise<Inflated>;

const inflateHere = inflateSync as unknown as Inflate;
const inflateInBackground = promisify(inflate) as unknown as Inflate;
