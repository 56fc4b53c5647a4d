import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import git from 'isomorphic-git';
import { environmentFailed } from '../errors.ts';

export interface ReceivedPack {
  /** `pack-<sha1>`, in the quarantine's `objects/pack`, with `.pack` and `.idx`. */
  readonly name: string;
  readonly objects: number;
}

const headerLength = 12;
const trailerLength = 20;

/**
 * Writes a pack into a directory of its own, shaped like a git directory, and indexes it. The trailer
 * has to match what arrived, and every object has to resolve: isomorphic-git's indexPack leaves out
 * those that do not, in silence.
 *
 * @throws RinglockError `fetch-incomplete`, `fetch-corrupt`
 */
export async function receivePack(
  chunks: AsyncIterable<Uint8Array>,
  quarantine: string,
): Promise<ReceivedPack> {
  const directory = join(quarantine, 'objects/pack');
  await mkdir(directory, { recursive: true });
  const received = join(directory, 'received.pack');
  const { header, trailer } = await writeChecked(chunks, received);
  const objects = objectCount(header);
  const name = `pack-${trailer}`;
  if (objects === 0) return { name, objects };
  await rename(received, join(directory, `${name}.pack`));
  const filepath = `objects/pack/${name}.pack`;
  let oids: string[];
  try {
    ({ oids } = await git.indexPack({ fs, dir: quarantine, gitdir: quarantine, filepath }));
  } catch (error) {
    throw environmentFailed('fetch-corrupt', `a pack cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (oids.length !== objects) {
    throw environmentFailed(
      'fetch-corrupt',
      `only ${oids.length} of a pack's ${objects} objects can be read`,
    );
  }
  return { name, objects };
}

/** Streams to disk; the last 20 bytes are held back from the hash, since they are the hash. */
async function writeChecked(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
): Promise<{ header: Buffer; trailer: string }> {
  const hash = createHash('sha1');
  let header: Buffer = Buffer.alloc(0);
  let tail: Buffer = Buffer.alloc(0);
  let bytes = 0;
  const handle = await open(file, 'wx');
  try {
    for await (const chunk of chunks) {
      await handle.writeFile(chunk);
      bytes += chunk.length;
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
  return { header, trailer };
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
