import { environmentFailed } from '../errors.ts';

/** git's gitprotocol-common: four hex digits of length, themselves counted, then the payload. */
export type Packet =
  | { readonly type: 'data'; readonly payload: Buffer }
  | { readonly type: 'flush' }
  | { readonly type: 'delimiter' }
  | { readonly type: 'response-end' };

export const flushPacket = '0000';
export const delimiterPacket = '0001';

const largestPacket = 65520;

/** One data packet; the newline that text lines end with is the caller's. */
export function packetLine(text: string): string {
  const length = Buffer.byteLength(text) + 4;
  return `${length.toString(16).padStart(4, '0')}${text}`;
}

/**
 * Cuts a byte stream into packets.
 *
 * @throws RinglockError `fetch-incomplete` when the stream ends inside a packet, `remote-not-git` when
 * it is no packet stream
 */
export async function* readPackets(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Packet> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let offset = 0;
    while (pending.length - offset >= 4) {
      const length = packetLength(pending.toString('latin1', offset, offset + 4));
      if (length < 4) {
        yield specialPacket(length);
        offset += 4;
        continue;
      }
      if (pending.length - offset < length) break;
      yield { type: 'data', payload: pending.subarray(offset + 4, offset + length) };
      offset += length;
    }
    pending = pending.subarray(offset);
  }
  if (pending.length > 0) {
    throw environmentFailed(
      'fetch-incomplete',
      `the response ended inside a packet, ${pending.length} bytes after its start`,
    );
  }
}

function packetLength(digits: string): number {
  const length = /^[0-9a-f]{4}$/i.test(digits) ? Number.parseInt(digits, 16) : -1;
  if (length < 0 || length === 3 || length > largestPacket) {
    throw environmentFailed(
      'remote-not-git',
      `the response is not git's: a packet starts with ${JSON.stringify(digits)}, expected its length in four hex digits`,
    );
  }
  return length;
}

function specialPacket(length: number): Packet {
  if (length === 0) return { type: 'flush' };
  return length === 1 ? { type: 'delimiter' } : { type: 'response-end' };
}

/** A data packet's text without its final newline. */
export function packetText(payload: Buffer): string {
  return payload.toString('utf8').replace(/\n$/, '');
}
