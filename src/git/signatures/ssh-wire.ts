import { refused } from '../../errors.ts';

/** Reads the fields of SSH's binary form (RFC 4251, section 5), none of which may be cut off. */
export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  bytes(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) {
      throw malformedSshData(
        `${length} bytes are announced, ${this.#bytes.length - this.#at} left`,
      );
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  /** Bytes with their length before them. */
  string(): Buffer {
    return this.bytes(this.uint32());
  }

  text(): string {
    return this.string().toString('latin1');
  }

  /** A whole number of at least one, without the zero that keeps its sign. */
  positive(): Buffer {
    const bytes = this.string();
    const first = bytes.findIndex((byte) => byte !== 0);
    if (first === -1 || (bytes[0] ?? 0) >= 0x80) {
      throw malformedSshData('a number is not positive');
    }
    return bytes.subarray(first);
  }

  /** @throws RinglockError when bytes are left */
  end(): void {
    if (this.#at === this.#bytes.length) return;
    throw malformedSshData(`${this.#bytes.length - this.#at} bytes too many`);
  }
}

/** A field of SSH's binary form: its length, then itself. */
export function sshString(content: Uint8Array | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Left-padded with zeros. */
export function fixedWidth(number: Buffer, width: number): Buffer {
  if (number.length > width) throw malformedSshData(`a number has more than ${width} bytes`);
  return Buffer.concat([Buffer.alloc(width - number.length), number]);
}

export function malformedSshData(what: string): Error {
  return refused('malformed-ssh-data', `not as SSH writes it: ${what}`);
}
