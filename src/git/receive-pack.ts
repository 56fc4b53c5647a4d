import { createHash } from 'node:crypto';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import { type Limits, overLimit } from '../repo/limits.ts';
import { indexPack } from './index-pack.ts';
import { formatPackIndex } from './pack-index.ts';

export interface ReceivedPack {
  /** `pack-<sha1>`, in the quarantine's `objects/pack`, with `.pack` and `.idx`. */
  readonly name: string;
  readonly objects: number;
}

const headerLength = 12;
const trailerLength = 20;

/**
 * Writes a pack into a directory of its own, shaped like a git directory, and indexes it. The trailer
 * has to match what arrived, and every object has to resolve.
 *
 * @throws RinglockError `fetch-incomplete`, `fetch-corrupt`, `limit-exceeded`
 */
export async function receivePack(
  chunks: AsyncIterable<Uint8Array>,
  quarantine: string,
  limits: Limits,
): Promise<ReceivedPack> {
  const directory = join(quarantine, 'objects/pack');
  await mkdir(directory, { recursive: true });
  const received = join(directory, 'received.pack');
  const { header, trailer, bytes } = await writeChecked(chunks, received, limits);
  const objects = objectCount(header);
  const name = `pack-${trailer}`;
  if (objects === 0) return { name, objects };
  const found = await indexPack(received, { count: objects, size: bytes }, limits);
  await rename(received, join(directory, `${name}.pack`));
  await writeFile(join(directory, `${name}.idx`), formatPackIndex(found, trailer));
  return { name, objects };
}

/** Streams to disk; the last 20 bytes are held back from the hash, since they are the hash. */
async function writeChecked(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
  limits: Limits,
): Promise<{ header: Buffer; trailer: string; bytes: number }> {
  const hash = createHash('sha1');
  let header: Buffer = Buffer.alloc(0);
  let tail: Buffer = Buffer.alloc(0);
  let bytes = 0;
  const handle = await open(file, 'wx');
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > limits.fetch) throw overLimit('fetch', limits, 'a pack has');
      await handle.writeFile(chunk);
      if (header.length < headerLength) {
        header = Buffer.concat([header, chunk]).subarray(0, headerLength);
      }
      tail = Buffer.concat([tail, chunk]);
      const hashed = Math.max(0, tail.length - trailerLength);
      hash.update(tail.subarray(0, hashed));
      tail = tail.subarray(hashed);
    }
  } finally {
    await handle.close();
  }
  if (bytes < headerLength + trailerLength) {
    throw environmentFailed('fetch-incomplete', `a pack ended after ${bytes} bytes`);
  }
  const trailer = tail.toString('hex');
  const computed = hash.digest('hex');
  if (trailer !== computed) {
    throw environmentFailed(
      'fetch-corrupt',
      `a pack of ${bytes} bytes ends with checksum ${trailer}, expected ${computed}`,
    );
  }
  return { header, trailer, bytes };
}

function objectCount(header: Buffer): number {
  const version = header.readUInt32BE(4);
  if (header.toString('latin1', 0, 4) !== 'PACK' || version !== 2) {
    throw environmentFailed(
      'fetch-corrupt',
      `a pack starts with ${JSON.stringify(header.toString('latin1', 0, 4))}, version ${version}, expected PACK, version 2`,
    );
  }
  return header.readUInt32BE(8);
}
