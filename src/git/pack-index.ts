import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { environmentFailed } from '../errors.ts';

/** gitformat-pack, version 2: magic, fan-out of 256 counts, ids, CRCs, offsets, large offsets, sums. */
const magic = 0xff744f63;
const fanoutStart = 8;
const idsStart = fanoutStart + 256 * 4;
const idLength = 20;
const crcLength = 4;
const offsetLength = 4;
/** Set in an offset that is an index into the table of 8-byte offsets. */
const largeOffset = 0x80000000;

/** An object as an index has it. */
export interface PackedObject {
  readonly oid: string;
  /** Where it starts in the pack. */
  readonly offset: number;
  /** Of its bytes in the pack. */
  readonly crc32: number;
}

/**
 * The bytes of a pack's index.
 *
 * @param objects in the order of their ids
 * @param trailer the pack's checksum in hex
 */
export function formatPackIndex(objects: readonly PackedObject[], trailer: string): Buffer {
  const large = objects.filter(({ offset }) => offset >= largeOffset).length;
  const idsEnd = idsStart + objects.length * idLength;
  const crcsEnd = idsEnd + objects.length * crcLength;
  const offsetsEnd = crcsEnd + objects.length * offsetLength;
  const body = Buffer.alloc(offsetsEnd + large * 8 + idLength);
  body.writeUInt32BE(magic, 0);
  body.writeUInt32BE(2, 4);
  let count = 0;
  for (let first = 0; first < 256; first++) {
    while (Number.parseInt(objects[count]?.oid.slice(0, 2) ?? 'fff', 16) <= first) count += 1;
    body.writeUInt32BE(count, fanoutStart + first * 4);
  }
  let larger = 0;
  for (const [index, { oid, crc32, offset }] of objects.entries()) {
    body.write(oid, idsStart + index * idLength, 'hex');
    body.writeUInt32BE(crc32, idsEnd + index * crcLength);
    const at = crcsEnd + index * offsetLength;
    if (offset < largeOffset) body.writeUInt32BE(offset, at);
    else {
      body.writeUInt32BE(largeOffset + larger, at);
      body.writeBigUInt64BE(BigInt(offset), offsetsEnd + larger * 8);
      larger += 1;
    }
  }
  body.write(trailer, body.length - idLength, 'hex');
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

/** Which objects a pack has and where, from its index, which is kept in memory as it is on disk. */
export class PackIndex {
  readonly #bytes: Buffer;
  readonly count: number;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.count = this.#fanout(255);
  }

  /** @throws RinglockError `broken-pack-index` */
  static async read(file: string): Promise<PackIndex> {
    const bytes = await readFile(file);
    if (bytes.length < idsStart || bytes.readUInt32BE(0) !== magic || bytes.readUInt32BE(4) !== 2) {
      throw environmentFailed('broken-pack-index', `${file} is not a pack index of version 2`);
    }
    const index = new PackIndex(bytes);
    const expected = idsStart + index.count * (idLength + crcLength + offsetLength);
    if (bytes.length < expected) {
      throw environmentFailed(
        'broken-pack-index',
        `${file} has ${bytes.length} bytes, expected ${expected} at least for ${index.count} objects`,
      );
    }
    for (let first = 1; first < 256; first++) {
      if (index.#fanout(first - 1) <= index.#fanout(first)) continue;
      throw environmentFailed('broken-pack-index', `${file} counts its objects downwards`);
    }
    return index;
  }

  /** The ids of all its objects, in ascending order. */
  *oids(): Generator<string> {
    for (let position = 0; position < this.count; position++) {
      const start = idsStart + position * idLength;
      yield this.#bytes.toString('hex', start, start + idLength);
    }
  }

  has(oid: string): boolean {
    return this.#position(oid) !== undefined;
  }

  /** Where in the pack an object starts, in bytes. */
  offsetOf(oid: string): number | undefined {
    const position = this.#position(oid);
    return position === undefined ? undefined : this.#offsetAt(position);
  }

  /** Where every object starts, in ascending order. */
  sortedOffsets(): Float64Array {
    const offsets = new Float64Array(this.count);
    for (let position = 0; position < this.count; position++) {
      offsets[position] = this.#offsetAt(position);
    }
    return offsets.sort();
  }

  #offsetAt(position: number): number {
    const offsetsStart = idsStart + this.count * (idLength + crcLength);
    const offset = this.#bytes.readUInt32BE(offsetsStart + position * offsetLength);
    if (offset < largeOffset) return offset;
    const largeStart = offsetsStart + this.count * offsetLength;
    return Number(this.#bytes.readBigUInt64BE(largeStart + (offset - largeOffset) * 8));
  }

  #fanout(firstByte: number): number {
    return this.#bytes.readUInt32BE(fanoutStart + firstByte * 4);
  }

  #position(oid: string): number | undefined {
    const wanted = Buffer.from(oid, 'hex');
    const first = wanted[0];
    if (first === undefined || wanted.length !== idLength) return undefined;
    let low = first === 0 ? 0 : this.#fanout(first - 1);
    let high = this.#fanout(first);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const start = idsStart + middle * idLength;
      const order = this.#bytes.compare(wanted, 0, idLength, start, start + idLength);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }
}
