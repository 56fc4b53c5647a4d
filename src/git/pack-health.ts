import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { directoryNames } from './directory-names.ts';
import { PackIndex } from './pack-index.ts';

/** gitformat-pack: both files end with the sha1 of all before it, the index with its pack's before that. */
const sumLength = 20;

export interface DamagedPack {
  /** `pack-<sha1>` */
  readonly name: string;
  readonly reason: string;
}

/** Every pack of a git directory whose bytes are not those that were written, by both files' checksums. */
export async function findDamagedPacks(gitdir: string): Promise<DamagedPack[]> {
  const directory = join(gitdir, 'objects/pack');
  const files = await directoryNames(directory);
  const names = new Set(files.flatMap((file) => /^(.+)\.(?:pack|idx)$/.exec(file)?.[1] ?? []));
  const damaged: DamagedPack[] = [];
  for (const name of [...names].sort()) {
    const reason = await findPackDamage(join(directory, name));
    if (reason !== undefined) damaged.push({ name, reason });
  }
  return damaged;
}

async function findPackDamage(path: string): Promise<string | undefined> {
  if (!(await isIndexWhole(`${path}.idx`))) return 'its index does not fit it';
  const hash = createHash('sha1');
  let tail: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(`${path}.pack`) as AsyncIterable<Buffer>) {
      tail = Buffer.concat([tail, chunk]);
      const hashed = Math.max(0, tail.length - sumLength);
      hash.update(tail.subarray(0, hashed));
      tail = tail.subarray(hashed);
    }
  } catch (error) {
    return `it cannot be read: ${(error as Error).message}`;
  }
  return hash.digest().equals(tail) ? undefined : 'it differs from its checksum';
}

/** Whether an index is as its own checksum says, and of the pack beside it. Does not read the pack. */
export async function isIndexWhole(path: string): Promise<boolean> {
  try {
    await PackIndex.read(path);
    const bytes = await readFile(path);
    const sums = bytes.length - 2 * sumLength;
    const own = createHash('sha1').update(bytes.subarray(0, -sumLength)).digest();
    if (!own.equals(bytes.subarray(-sumLength))) return false;
    const trailer = await readTrailer(path.replace(/idx$/, 'pack'));
    return trailer.equals(bytes.subarray(sums, sums + sumLength));
  } catch {
    return false;
  }
}

async function readTrailer(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const trailer = Buffer.alloc(sumLength);
    const { size } = await file.stat();
    await file.read(trailer, 0, sumLength, Math.max(0, size - sumLength));
    return trailer;
  } finally {
    await file.close();
  }
}
