import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import yauzl from 'yauzl';

/** Bytes read at once: headers and small files lie side by side, in the order they are asked for. */
const windowBytes = 256 * 1024;

/** Random access to a file through one window, so that thousands of headers cost few reads. */
export class ReadAhead extends yauzl.RandomAccessReader {
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle) {
    super();
    this.#file = file;
  }

  /** @returns fewer bytes than asked for where the file ends */
  async readAt(position: number, length: number): Promise<Buffer> {
    if (length > windowBytes) return this.#readFile(position, length);
    const isHere = position >= this.#start && position + length <= this.#end;
    if (!isHere) {
      this.#window = await this.#readFile(position, windowBytes);
      this.#start = position;
    }
    const from = position - this.#start;
    return this.#window.subarray(from, from + length);
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.readAt(position, length).then(
      (found) => callback(null, found.copy(buffer, offset)),
      (error: Error) => callback(error),
    );
  }

  /** Contents are read by readAt(), never as a stream. */
  override _readStreamForRange(): Readable {
    throw new Error('not used');
  }

  get #end(): number {
    return this.#start + this.#window.length;
  }

  async #readFile(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    let read = 0;
    while (read < length) {
      const { bytesRead } = await this.#file.read(buffer, read, length - read, position + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return buffer.subarray(0, read);
  }
}
