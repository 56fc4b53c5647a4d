import { readFile } from 'node:fs/promises';
import { environmentFailed } from '../errors.ts';

/** gitformat-pack, version 2: magic, fan-out of 256 counts, then the sorted object ids. */
const magic = 0xff744f63;
const fanoutStart = 8;
const idsStart = fanoutStart + 256 * 4;
const idLength = 20;

/** Which objects a pack has, answered from its index (20 bytes an object in memory). */
export class PackIndex {
  readonly #ids: Buffer;
  readonly #fanout: Uint32Array;

  private constructor(ids: Buffer, fanout: Uint32Array) {
    this.#ids = ids;
    this.#fanout = fanout;
  }

  /** @throws RinglockError `broken-pack-index` */
  static async read(file: string): Promise<PackIndex> {
    const bytes = await readFile(file);
    if (bytes.length < idsStart || bytes.readUInt32BE(0) !== magic || bytes.readUInt32BE(4) !== 2) {
      throw environmentFailed('broken-pack-index', `${file} is not a pack index of version 2`);
    }
    const fanout = new Uint32Array(256);
    for (let i = 0; i < 256; i++) fanout[i] = bytes.readUInt32BE(fanoutStart + i * 4);
    const count = fanout[255] ?? 0;
    const end = idsStart + count * idLength;
    if (bytes.length < end) {
      throw environmentFailed('broken-pack-index', `${file} ends before its ${count} object ids`);
    }
    // A copy, so that the rest of the file's buffer can go.
    return new PackIndex(Buffer.from(bytes.subarray(idsStart, end)), fanout);
  }

  get count(): number {
    return this.#fanout[255] ?? 0;
  }

  has(oid: string): boolean {
    const wanted = Buffer.from(oid, 'hex');
    const first = wanted[0];
    if (first === undefined || wanted.length !== idLength) return false;
    let low = first === 0 ? 0 : (this.#fanout[first - 1] ?? 0);
    let high = this.#fanout[first] ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#ids.compare(
        wanted,
        0,
        idLength,
        middle * idLength,
        (middle + 1) * idLength,
      );
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}
