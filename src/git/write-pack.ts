import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import type { ObjectType, RawObject } from './object-store.ts';

const compress = promisify(deflate);
const typeNumber: Readonly<Record<ObjectType, number>> = { commit: 1, tree: 2, blob: 3, tag: 4 };

/** A pack (gitformat-pack, version 2, no deltas) of the given objects, read one at a time. */
export async function* writePack(
  oids: readonly string[],
  read: (oid: string) => Promise<RawObject>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha1');
  const hashed = (bytes: Buffer): Buffer => {
    hash.update(bytes);
    return bytes;
  };
  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  header.writeUInt32BE(oids.length, 8);
  yield hashed(header);
  for (const oid of oids) {
    const { type, content } = await read(oid);
    yield hashed(objectHeader(typeNumber[type], content.length));
    // The fastest level: these bytes go from disk to disk.
    yield hashed(await compress(content, { level: 1 }));
  }
  yield hash.digest();
}

/** Type and size: four bits of size in the first byte, then seven a byte, least significant first. */
function objectHeader(type: number, size: number): Buffer {
  const bytes: number[] = [];
  let rest = Math.floor(size / 16);
  let byte = (type << 4) | (size & 15);
  while (rest > 0) {
    bytes.push(byte | 0x80);
    byte = rest & 0x7f;
    rest = Math.floor(rest / 128);
  }
  bytes.push(byte);
  return Buffer.from(bytes);
}
