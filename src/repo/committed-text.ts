import { badInput } from '../errors.ts';
import { overFixedLimit } from './limits.ts';

/** Bytes; a lock of 10,000 modules has four and a half million. */
const longestLock = 8 * 1024 * 1024;
const longestOther = 1024 * 1024;

/**
 * The text of a committed file that is read whole: a lock, a module.json, one of the YAML files.
 *
 * @param file what messages call it
 * @throws RinglockError `limit-exceeded`, `invalid-file` when it is not UTF-8
 */
export function committedText(bytes: Uint8Array, file: string): string {
  const longest = file.endsWith('.lock.json') ? longestLock : longestOther;
  if (bytes.length > longest) {
    throw overFixedLimit(`${file} has ${bytes.length} bytes, expected at most ${longest}`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw badInput('invalid-file', `${file} is not UTF-8`);
  }
}
