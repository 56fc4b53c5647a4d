import { redact } from '../redaction.ts';

/**
 * What a handler printed, in bounded memory: the first and the last half of the limit. The end is
 * where a failure says why, the beginning where it says of what.
 */
export class KeptOutput {
  readonly #head: Buffer;
  /** A ring; once it is full, #end is where its oldest byte stands. */
  readonly #tail: Buffer;
  #headLength = 0;
  #tailLength = 0;
  #end = 0;
  #total = 0;

  /** @param limit bytes that are kept, at least 2 */
  constructor(limit: number) {
    const half = Math.max(1, Math.floor(limit / 2));
    this.#head = Buffer.alloc(half);
    this.#tail = Buffer.alloc(half);
  }

  add(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#total += bytes.length;
    const first = bytes.copy(this.#head, this.#headLength);
    this.#headLength += first;
    const size = this.#tail.length;
    const rest = bytes.subarray(Math.max(first, bytes.length - size));
    const untilEnd = rest.copy(this.#tail, this.#end);
    rest.copy(this.#tail, 0, untilEnd);
    this.#end = (this.#end + rest.length) % size;
    this.#tailLength = Math.min(size, this.#tailLength + rest.length);
  }

  /** The text for people and audit events: harmless in a terminal, redacted, a cut named. */
  text(): string {
    const head = this.#head.subarray(0, this.#headLength);
    const tail =
      this.#tailLength < this.#tail.length
        ? this.#tail.subarray(0, this.#tailLength)
        : Buffer.concat([this.#tail.subarray(this.#end), this.#tail.subarray(0, this.#end)]);
    if (this.#total === head.length + tail.length) {
      return harmless(Buffer.concat([head, tail]).toString('utf8'));
    }
    const before = head.subarray(0, endOfLastWord(head));
    const after = tail.subarray(startOfNextWord(tail));
    const cut = this.#total - before.length - after.length;
    const note = `\n[… ${cut} bytes cut …]\n`;
    return `${harmless(before.toString('utf8'))}${note}${harmless(after.toString('utf8'))}`;
  }
}

/**
 * Text from elsewhere without what steers a terminal (escape sequences, control characters,
 * bidirectional overrides) or what Postgres cannot hold, and without credentials.
 */
export function harmless(text: string): string {
  const plain = text
    .replace(colours, '')
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu, '\uFFFD');
  return redact(plain);
}

/** The last words of an output, on one line, without a stack trace's lines. */
export function lastWords(output: string, maxLength = 400): string {
  const lines = output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !/^\s+at |^Node\.js v\d|^\s*\^+$/.test(line));
  const text = lines.slice(-5).join(' | ');
  return text.length > maxLength ? `…${text.slice(-maxLength)}` : text;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what it removes
const colours = /\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]/g;

// The word that a cut goes through is cut as a whole: half a URL would hide its password from
// redact(). Longer runs than this are no words, and redact() looks no further.
const longestWord = 4096;

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

function endOfLastWord(bytes: Buffer): number {
  const from = Math.max(0, bytes.length - longestWord);
  for (let end = bytes.length; end > from; end--) if (isSpace(bytes[end - 1] ?? 0)) return end;
  return from === 0 ? 0 : bytes.length;
}

function startOfNextWord(bytes: Buffer): number {
  const until = Math.min(bytes.length, longestWord);
  for (let start = 0; start < until; start++) if (isSpace(bytes[start] ?? 0)) return start + 1;
  return until === bytes.length ? bytes.length : 0;
}
