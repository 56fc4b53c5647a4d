import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

/** An entry of a pack as a test writes it, lies included. */
export interface PackEntry {
  /** gitformat-pack's number: 1 commit, 2 tree, 3 blob, 4 tag, 6 delta by offset, 7 delta by id. */
  readonly type: number;
  /** What is deflated. */
  readonly content: Uint8Array;
  /** What the header says of its size; default: the truth. */
  readonly size?: number;
  /** The deflated bytes; default: what zlib makes of the content. */
  readonly deflated?: Uint8Array;
  /** A delta's base: how many entries before, or bytes, or an id. */
  readonly back?: number;
  readonly distance?: number;
  readonly base?: string;
}

export const blob = (content: Uint8Array | string): PackEntry => ({
  type: 3,
  content: Buffer.from(content),
});

/** A pack of entries in this order, with a right checksum. */
export function packOf(
  entries: readonly PackEntry[],
  { count = entries.length, after = '' }: { readonly count?: number; readonly after?: string } = {},
): Buffer {
  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  header.writeUInt32BE(count, 8);
  const parts: Buffer[] = [header];
  const starts: number[] = [];
  let offset = header.length;
  for (const entry of entries) {
    starts.push(offset);
    const { type, content, size = content.length } = entry;
    const before = entry.back === undefined ? undefined : starts.at(-1 - entry.back);
    const distance = entry.distance ?? (before === undefined ? undefined : offset - before);
    const bytes = Buffer.concat([
      typeAndSize(type, size),
      distance === undefined ? Buffer.alloc(0) : distanceBytes(distance),
      Buffer.from(entry.base ?? '', 'hex'),
      entry.deflated ?? deflateSync(content),
    ]);
    parts.push(bytes);
    offset += bytes.length;
  }
  return sealed(Buffer.concat([...parts, Buffer.from(after)]));
}

/** The bytes with the checksum that ends a pack. */
export function sealed(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, createHash('sha1').update(bytes).digest()]);
}

export function objectId(type: string, content: Uint8Array): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

/** A delta that copies its whole base of `from` bytes again and again until it has `to`. */
export function copyingDelta(from: number, to: number, claimed = to): Buffer {
  const copies: Buffer[] = [];
  for (let left = to; left > 0; left -= from) {
    const size = Math.min(from, left);
    copies.push(Buffer.from([0x80 | 0x70, size & 0xff, (size >> 8) & 0xff, (size >> 16) & 0xff]));
  }
  return Buffer.concat([deltaSize(from), deltaSize(claimed), ...copies]);
}

/** A delta that puts bytes (127 at most) before its whole base. */
export function prependingDelta(from: number, text: string): Buffer {
  const head = [deltaSize(from), deltaSize(from + text.length), Buffer.from([text.length])];
  const copy = Buffer.from([0x80 | 0x70, from & 0xff, (from >> 8) & 0xff, (from >> 16) & 0xff]);
  return Buffer.concat([...head, Buffer.from(text), copy]);
}

function typeAndSize(type: number, size: number): Buffer {
  const bytes: number[] = [];
  let rest = Math.floor(size / 16);
  let byte = (type << 4) | (size % 16);
  while (rest > 0) {
    bytes.push(byte | 0x80);
    byte = rest % 128;
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, byte]);
}

function deltaSize(size: number): Buffer {
  const bytes: number[] = [];
  let rest = size;
  do {
    const more = rest >= 128 ? 0x80 : 0;
    bytes.push((rest % 128) | more);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

function distanceBytes(distance: number): Buffer {
  const bytes = [distance % 128];
  let rest = Math.floor(distance / 128);
  while (rest > 0) {
    rest -= 1;
    bytes.unshift((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from(bytes);
}
