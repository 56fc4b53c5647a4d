import { defaultLimits, overLimit } from '../repo/limits.ts';

/**
 * The longest chain of deltas that is read: each object of a chain costs all those before it. git makes
 * 50 by default, and made 250 with `gc --aggressive` until version 2.12.
 */
export const deepestDelta = 256;

/**
 * Rebuilds an object from its base and a delta (gitformat-pack, "Deltified representation").
 *
 * @param longest bytes that the object may have
 * @throws RinglockError `limit-exceeded`
 * @throws Error when the delta is for another base, or does not add up
 */
export function applyDelta(
  base: Uint8Array,
  delta: Buffer,
  longest: number = defaultLimits.file,
): Buffer {
  const baseSize = readSize(delta, 0);
  const resultSize = readSize(delta, baseSize.end);
  if (baseSize.value !== base.length) {
    throw new Error(`a delta expects a base of ${baseSize.value} bytes, found ${base.length}`);
  }
  if (resultSize.value > longest) {
    throw overLimit('file', { ...defaultLimits, file: longest }, 'an object has');
  }
  const result = Buffer.alloc(resultSize.value);
  let written = 0;
  let at = resultSize.end;
  while (at < delta.length) {
    const instruction = delta.readUInt8(at++);
    let piece: Uint8Array;
    if (instruction & 0x80) {
      const copy = readCopy(delta, at, instruction);
      piece = base.subarray(copy.offset, copy.offset + copy.size);
      if (piece.length !== copy.size) throw new Error('a delta copies beyond its base');
      at = copy.end;
    } else {
      piece = delta.subarray(at, at + instruction);
      if (instruction === 0 || piece.length !== instruction) throw new Error('a delta is broken');
      at += instruction;
    }
    if (written + piece.length > result.length) throw new Error('a delta makes too much');
    result.set(piece, written);
    written += piece.length;
  }
  if (written !== result.length) {
    throw new Error(`a delta makes ${written} bytes, expected ${result.length}`);
  }
  return result;
}

/** Seven bits a byte, least significant first. */
function readSize(delta: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  let end = start;
  let byte: number;
  let factor = 1;
  do {
    byte = delta.readUInt8(end++);
    value += (byte & 0x7f) * factor;
    factor *= 128;
  } while (byte & 0x80);
  return { value, end };
}

const defaultCopySize = 0x10000;

/** The instruction's low bits say which bytes of a 4-byte offset and a 3-byte size follow. */
function readCopy(
  delta: Buffer,
  start: number,
  instruction: number,
): { offset: number; size: number; end: number } {
  let end = start;
  const next = (bit: number): number => (instruction & bit ? delta.readUInt8(end++) : 0);
  const offset = next(1) + next(2) * 0x100 + next(4) * 0x10000 + next(8) * 0x1000000;
  const size = next(16) + next(32) * 0x100 + next(64) * 0x10000;
  return { offset, size: size === 0 ? defaultCopySize : size, end };
}
