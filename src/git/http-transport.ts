import { setTimeout as wait } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import pRetry from 'p-retry';
import type { Dispatcher } from 'undici';
import { environmentFailed, RinglockError } from '../errors.ts';
import { Connections } from '../wire/connections.ts';
import { type Credentials, credentialsFor, parseRemoteAddress } from './credentials.ts';
import { bodyFailure, connectionFailure, responseFailure } from './http-failures.ts';
import { type Packet, readPackets } from './pkt-line.ts';
import type { Traffic, Transport, UploadPackRequest } from './transport.ts';

export interface TransportOptions {
  /** Read before every request, so that a rotated token is taken at once. */
  readonly token?: (() => Promise<string | undefined> | string | undefined) | undefined;
  /** What messages call the token, e.g. `the token in RINGLOCK_REPO_TOKEN_FILE`. */
  readonly tokenSource?: string | undefined;
  /** How long the server may stay silent: connecting, before and while it answers. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Certificates that are trusted besides node's own. */
  readonly caFile?: string | undefined;
  /** Where the proxies are read from; default the process's. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** Ends what is asked; read at every request, so that it may be another each time. */
  readonly signal?: (() => AbortSignal) | undefined;
  /** How often 429 and 503 are tried again within one request; default 3. */
  readonly retries?: number | undefined;
  /** The first wait of the exponential back-off; default 500. */
  readonly retryDelayMs?: number | undefined;
  /** Counts requests and bytes, also of another transport with the same one. */
  readonly traffic?: Traffic | undefined;
  /** The longest `Retry-After` that is waited for here; a longer one is the caller's. Default 15,000. */
  readonly maxRetryAfterMs?: number | undefined;
}

const defaultIdleTimeoutMs = 30_000;
const userAgent = 'git/ringlock';
const version2 = { 'git-protocol': 'version=2' };
const largestUncompressedRequest = 1024;
const maxRedirects = 5;
/** A response that is never silent may still never end: after so many idle times it has to be fast. */
const patience = 20;
const slowestBytesPerSecond = 1024;

/** git's smart HTTP to one repository: authorised, never silent for long, with plain errors. */
export class HttpTransport implements Transport {
  readonly display: string;
  readonly traffic: Traffic;
  readonly #address: ReturnType<typeof parseRemoteAddress>;
  readonly #options: TransportOptions;
  readonly #connections: Connections;
  /** Where the repository is, after redirects of the first request. */
  #base: string;

  /** @throws RinglockError `insecure-url`, `unsupported-url` */
  constructor(url: string, options: TransportOptions) {
    this.#address = parseRemoteAddress(url);
    this.display = this.#address.display;
    this.#base = this.#address.url.href;
    this.#options = options;
    this.traffic = options.traffic ?? { requests: 0, bytes: 0 };
    const { idleTimeoutMs = defaultIdleTimeoutMs, caFile, environment = process.env } = options;
    this.#connections = new Connections({ idleTimeoutMs, caFile, environment });
  }

  /** `GET info/refs`; follows redirects that stay on the same origin. */
  async advertisement(): Promise<AsyncGenerator<Packet>> {
    const suffix = '/info/refs?service=git-upload-pack';
    let url = `${this.#address.url.href}${suffix}`;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const response = await this.#send('GET', url, version2, undefined);
      const location = redirectTarget(response, url);
      if (location === undefined) {
        await this.#expect(response, 'application/x-git-upload-pack-advertisement');
        this.#base = url.slice(0, -suffix.length);
        return readPackets(this.#body(response));
      }
      await response.body.dump().catch(() => {});
      this.#requireSameRepositoryHost(location, suffix);
      url = location.href;
    }
    throw environmentFailed(
      'remote-redirected',
      `${this.display} redirects more than ${maxRedirects} times`,
    );
  }

  /** `POST git-upload-pack`; a redirect here is refused. */
  async uploadPack({ body, version }: UploadPackRequest): Promise<AsyncGenerator<Packet>> {
    const headers = {
      'content-type': 'application/x-git-upload-pack-request',
      accept: 'application/x-git-upload-pack-result',
      ...(version === 2 && version2),
    };
    const response = await this.#send('POST', `${this.#base}/git-upload-pack`, headers, body);
    if (response.statusCode >= 300 && response.statusCode < 400) {
      await response.body.dump().catch(() => {});
      throw environmentFailed(
        'remote-redirected',
        `${this.display} redirects a request for objects (${response.statusCode}), expected an answer`,
      );
    }
    await this.#expect(response, 'application/x-git-upload-pack-result');
    return readPackets(this.#body(response));
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async #send(
    method: 'GET' | 'POST',
    url: string,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const { retries = 3, retryDelayMs = 500, maxRetryAfterMs = 15_000 } = this.#options;
    const signal = this.#options.signal?.();
    return await pRetry(() => this.#attempt(method, url, headers, body), {
      retries,
      minTimeout: retryDelayMs,
      maxTimeout: maxRetryAfterMs,
      randomize: true,
      ...(signal && { signal }),
      shouldRetry: ({ error }) => {
        if (!(error instanceof RinglockError)) return false;
        if (error.code !== 'remote-busy') return false;
        return retryAfterOf(error) <= maxRetryAfterMs;
      },
      onFailedAttempt: async ({ error, retriesLeft }) => {
        if (retriesLeft > 0 && retryAfterOf(error) <= maxRetryAfterMs) {
          await wait(retryAfterOf(error), undefined, signal && { signal });
        }
      },
    });
  }

  async #attempt(
    method: 'GET' | 'POST',
    url: string,
    headers: Record<string, string>,
    body: string | undefined,
    isSecond = false,
  ): Promise<Dispatcher.ResponseData> {
    const credentials = await this.#credentials();
    const way = await this.#connections.wayTo(new URL(url));
    const compressed = body !== undefined && body.length > largestUncompressedRequest;
    const send = () => {
      this.traffic.requests += 1;
      return way.request(url, {
        method,
        dispatcher: way.dispatcher,
        signal: this.#options.signal?.() ?? null,
        headers: {
          'user-agent': userAgent,
          ...headers,
          ...(credentials.authorization && { authorization: credentials.authorization }),
          ...(compressed && { 'content-encoding': 'gzip' }),
        },
        body: body === undefined ? null : compressed ? gzipSync(body) : body,
      });
    };
    let response: Dispatcher.ResponseData;
    try {
      // A kept-alive connection that the server closed meanwhile shows only when it is used.
      response = await send().catch((error) =>
        isStaleConnection(error) ? send() : throwIt(error),
      );
    } catch (error) {
      throw connectionFailure(this.display, error, way.proxy);
    }
    if (response.statusCode < 400) return response;
    if (response.statusCode === 401 && !isSecond && (await this.#isRotated(credentials))) {
      await response.body.dump().catch(() => {});
      return this.#attempt(method, url, headers, body, true);
    }
    throw await responseFailure(this.display, response, credentials);
  }

  /** The token may have been replaced between its being read and the server's looking at it. */
  async #isRotated({ authorization }: Credentials): Promise<boolean> {
    return (await this.#credentials()).authorization !== authorization;
  }

  async #credentials(): Promise<Credentials> {
    const token = (await this.#options.token?.())?.trim();
    return credentialsFor(this.#address, token, this.#options.tokenSource ?? 'the token');
  }

  async #expect(response: Dispatcher.ResponseData, type: string): Promise<void> {
    const found = String(response.headers['content-type'] ?? 'no content type').split(';', 1)[0];
    if (found === type) return;
    await response.body.dump().catch(() => {});
    throw environmentFailed(
      'remote-not-git',
      `${this.display} answers with ${found}, expected ${type}`,
      { hint: 'Check the URL: it has to be the one that git clone takes, not a web page.' },
    );
  }

  /** Ends normally only when the server ended its response. */
  async *#body(response: Dispatcher.ResponseData): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    const start = performance.now();
    try {
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        this.traffic.bytes += chunk.length;
        this.#refuseCrawl(bytes, performance.now() - start);
        yield chunk;
      }
    } catch (error) {
      throw bodyFailure(this.display, error, bytes);
    }
  }

  #refuseCrawl(bytes: number, elapsedMs: number): void {
    const { idleTimeoutMs = defaultIdleTimeoutMs } = this.#options;
    const lateMs = elapsedMs - patience * idleTimeoutMs;
    if (lateMs <= (bytes * 1000) / slowestBytesPerSecond) return;
    throw environmentFailed(
      'remote-timeout',
      `${this.display} sent ${bytes} bytes in ${Math.round(elapsedMs / 1000)} s, and has not ended`,
    );
  }

  #requireSameRepositoryHost(location: URL, suffix: string): void {
    const { origin } = this.#address.url;
    if (location.origin !== origin) {
      throw environmentFailed(
        'remote-redirected',
        `${this.display} redirects to another server, ${location.origin}; credentials and trust are not carried over`,
        { hint: 'If the repository moved there, give its new URL.' },
      );
    }
    if (!location.href.endsWith(suffix)) {
      throw environmentFailed(
        'remote-not-git',
        `${this.display} redirects to ${location.origin}${location.pathname}, which is no git repository`,
        {
          hint: 'Servers send visitors without access to their sign-in page: check the credentials.',
        },
      );
    }
  }
}

function redirectTarget(response: Dispatcher.ResponseData, from: string): URL | undefined {
  if (response.statusCode < 300 || response.statusCode >= 400) return undefined;
  const location = String(response.headers['location'] ?? '');
  if (URL.canParse(location, from)) return new URL(location, from);
  throw environmentFailed(
    'remote-redirected',
    `${from} redirects to ${JSON.stringify(location.slice(0, 200))}, which is no URL`,
  );
}

function retryAfterOf(error: unknown): number {
  const value = error instanceof RinglockError ? error.details?.['retryAfterMs'] : undefined;
  return typeof value === 'number' ? value : 0;
}

function isStaleConnection(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function throwIt(error: unknown): never {
  throw error;
}
