import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { type Limits, overLimit } from '../repo/limits.ts';
import type { ObjectType, RawObject } from './object-store.ts';
import { longestDeflated } from './pack-entry.ts';

const inflateInBackground = promisify(inflate);

/** `blob 18446744073709551615` and its NUL. */
const longestHead = 32;

/**
 * Reads an object that has a file of its own (deflated `<type> <size>\0<content>`), checked against its
 * id. No more is inflated than the object may have: isomorphic-git inflates whatever there is.
 *
 * @throws RinglockError `limit-exceeded`
 * @throws Error in plain words when it is not as its id says
 */
export async function readLooseObject(
  file: string,
  oid: string,
  limits: Limits,
): Promise<RawObject> {
  const longest = limits.file + longestHead;
  if ((await stat(file)).size > longestDeflated(longest)) throw tooLarge(limits);
  const bytes = await inflateInBackground(await readFile(file), { maxOutputLength: longest }).catch(
    (error: NodeJS.ErrnoException) => {
      throw error.code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limits) : error;
    },
  );
  const found = createHash('sha1').update(bytes).digest('hex');
  if (found !== oid) throw new Error(`${file} has ${found} in its place`);
  const end = bytes.indexOf(0);
  const [, type, size] =
    /^(commit|tree|blob|tag) (\d+)$/.exec(bytes.toString('latin1', 0, Math.max(0, end))) ?? [];
  const content = bytes.subarray(end + 1);
  if (type === undefined || Number(size) !== content.length) {
    throw new Error(`${file} does not start with an object's type and size`);
  }
  return { type: type as ObjectType, content };
}

function tooLarge(limits: Limits): Error {
  return overLimit('file', limits, 'an object has');
}
