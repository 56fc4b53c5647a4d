import { open } from 'node:fs/promises';
import { TextDecoder } from 'node:util';
import { diskFailed } from '../store/disk-error.ts';

export interface FileLine {
  /** From 1. */
  readonly number: number;
  /** Without its line break; undefined when its bytes are not UTF-8, or too many for one event. */
  readonly text: string | undefined;
  /** With its line break, if it has one. */
  readonly bytes: number;
  /** Whether a line break ends it: only the last line may lack one. */
  readonly ended: boolean;
}

/** No event comes near it; a file without line breaks must not fill the memory. */
const longestLine = 64 * 1024 * 1024;
const chunkBytes = 256 * 1024;
const lineFeed = 0x0a;

/**
 * The lines of a file, one after the other, with no more of it in memory than a chunk and a line.
 *
 * @throws RinglockError `disk-denied`, `disk-failed`; the file system's own ENOENT
 */
export async function* readLines(path: string): AsyncGenerator<FileLine, void, void> {
  const file = await open(path, 'r');
  // Not lenient: a replaced byte must not read as the replacement character that stood there.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    let rest: Buffer[] = [];
    let restBytes = 0;
    let number = 0;
    for (;;) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes);
      if (bytesRead === 0) break;
      let start = 0;
      for (;;) {
        const end = buffer.subarray(0, bytesRead).indexOf(lineFeed, start);
        if (end === -1) break;
        number += 1;
        const piece = buffer.subarray(start, end);
        const line = restBytes === 0 ? piece : Buffer.concat([...rest, piece]);
        const bytes = restBytes + piece.length + 1;
        yield { number, text: decode(decoder, line, bytes), bytes, ended: true };
        [rest, restBytes] = [[], 0];
        start = end + 1;
      }
      const left = buffer.subarray(start, bytesRead);
      restBytes += left.length;
      if (restBytes <= longestLine && left.length > 0) rest.push(left);
    }
    if (restBytes > 0) {
      const text = decode(decoder, Buffer.concat(rest), restBytes);
      yield { number: number + 1, text, bytes: restBytes, ended: false };
    }
  } catch (error) {
    throw diskFailed(error, path);
  } finally {
    await file.close();
  }
}

function decode(decoder: TextDecoder, line: Uint8Array, bytes: number): string | undefined {
  if (bytes > longestLine) return undefined;
  try {
    return decoder.decode(line);
  } catch {
    return undefined;
  }
}
