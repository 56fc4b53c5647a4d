import type { IncomingMessage } from 'node:http';

/** Largest body that is read, in bytes. */
export const largestBody = 1024 * 1024;

/** Deeper than any forge nests. */
const deepest = 64;

/** Reads a body, up to the limit; undefined when it is larger. The server bounds the time it may take. */
export async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(incoming.headers['content-length'] ?? 0) > largestBody) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestBody) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * The ref that a body speaks of (`refs/heads/main`); null when it speaks of none.
 *
 * @returns undefined when it is no JSON object, not of type JSON, or nested without measure
 */
export function refOf(body: Buffer, contentType: string | undefined): string | null | undefined {
  if (body.length === 0) return null;
  if (!/^application\/json\s*(;|$)/i.test(contentType ?? '')) return undefined;
  if (isTooDeep(body)) return undefined;
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const ref = 'ref' in value ? value.ref : null;
    return typeof ref === 'string' ? ref : null;
  } catch {
    return undefined;
  }
}

/** Counted before anything is built from it. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < body.length; index++) {
    const byte = body[index];
    if (inString) {
      if (byte === backslash) index += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (byte === openBrace || byte === openBracket) {
      depth += 1;
      if (depth > deepest) return true;
    } else if (byte === closeBrace || byte === closeBracket) depth -= 1;
  }
  return false;
}

const [quote, backslash] = [0x22, 0x5c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
