import { setTimeout as wait } from 'node:timers/promises';
import { environmentFailed } from '../../errors.ts';
import { brokenAnswer } from './registry-failures.ts';
import type { RegistryAnswer, RegistryHttp, RegistryRequest } from './registry-http.ts';

export interface Download {
  readonly http: RegistryHttp;
  /** The request for the whole, made anew for each attempt: tokens and signed addresses run out. */
  readonly request: () => Promise<RegistryRequest>;
  /** Bytes that are expected. */
  readonly size: number;
  readonly signal: AbortSignal;
  /** How long the server may be silent; what never is may still never end. */
  readonly idleTimeoutMs: number;
}

/** In a row without a new byte, and altogether. */
const mostVainAttempts = 4;
const mostAttempts = 50;
/** After so many idle times a download has to have been this fast. */
const patience = 20;
const slowestBytesPerSecond = 1024;

/**
 * The bytes of a URL; a download that is cut goes on where it was (RFC 9110, 14.2 and 13.1.5). Servers
 * that know no ranges send the whole again, of which what came before is left out.
 *
 * @throws RinglockError `registry-…`
 */
export async function* resumableDownload(download: Download): AsyncGenerator<Uint8Array> {
  const { http, size, signal } = download;
  const progress = { bytes: 0, etag: undefined as string | undefined, start: performance.now() };
  let vain = 0;
  for (let attempt = 1; ; attempt++) {
    const before = progress.bytes;
    const asked = { ...withRange(await download.request(), progress), isLarge: true };
    const answer = await http.send(asked, async (got) => got);
    progress.etag = strongEtag(answer);
    try {
      for await (const chunk of restOf(answer, asked.context.display, progress, download)) {
        progress.bytes += chunk.length;
        yield chunk;
      }
      if (progress.bytes >= size || isWhole(answer)) return;
      throw brokenAnswer(asked.context.display, new Error('ended early'), progress.bytes);
    } catch (error) {
      signal.throwIfAborted();
      vain = progress.bytes > before ? 0 : vain + 1;
      const delay = http.delayBefore(vain, error);
      if (delay === undefined || vain >= mostVainAttempts || attempt >= mostAttempts) throw error;
      await wait(delay, undefined, { signal });
    }
  }
}

interface Progress {
  readonly bytes: number;
  readonly etag: string | undefined;
  readonly start: number;
}

function withRange(asked: RegistryRequest, { bytes, etag }: Progress): RegistryRequest {
  if (bytes === 0) return asked;
  const range = { range: `bytes=${bytes}-`, ...(etag !== undefined && { 'if-range': etag }) };
  return { ...asked, headers: { ...asked.headers, ...range } };
}

/** A weak one does not promise the same bytes. */
function strongEtag({ headers }: RegistryAnswer): string | undefined {
  const etag = headers['etag'];
  return typeof etag === 'string' && etag.startsWith('"') ? etag : undefined;
}

/** A server that said how long its answer is, and sent that, has no more. */
function isWhole({ headers }: RegistryAnswer): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** What of an answer was not there before. */
async function* restOf(
  answer: RegistryAnswer,
  display: string,
  { bytes, start }: Progress,
  { idleTimeoutMs }: Download,
): AsyncGenerator<Uint8Array> {
  let skip = skippedBytes(answer, display, bytes);
  let received = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      received += chunk.length;
      refuseCrawl(display, bytes + received, performance.now() - start, idleTimeoutMs);
      const rest = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  } catch (error) {
    throw brokenAnswer(display, error, bytes + received);
  }
}

function skippedBytes({ status, headers }: RegistryAnswer, display: string, bytes: number): number {
  if (status !== 206) return bytes;
  const from = /^bytes (\d+)-/.exec(String(headers['content-range'] ?? ''))?.[1];
  if (Number(from) === bytes) return 0;
  throw environmentFailed(
    'registry-malformed',
    `${display} answers a request for bytes from ${bytes} with ${JSON.stringify(headers['content-range'] ?? 'no content-range')}`,
  );
}

function refuseCrawl(display: string, bytes: number, elapsedMs: number, idleMs: number): void {
  if (elapsedMs - patience * idleMs <= (bytes * 1000) / slowestBytesPerSecond) return;
  throw environmentFailed(
    'registry-too-slow',
    `${display} sent ${bytes} bytes in ${Math.round(elapsedMs / 1000)} s, and has not ended`,
  );
}
