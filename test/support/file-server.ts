import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** What goes wrong with a file; `after` and `at` are bytes of the body. */
export type FileFault =
  | { readonly kind: 'cut'; readonly after: number }
  | { readonly kind: 'hang'; readonly after: number }
  /** A byte every 20 ms, for ever. */
  | { readonly kind: 'drip' }
  | { readonly kind: 'lie'; readonly at: number }
  | { readonly kind: 'endless' }
  | { readonly kind: 'redirect'; readonly location: string }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
    };

export interface FileRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  status: number;
}

export interface FileServer {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly requests: FileRequest[];
  /** Lets the next `times` requests (default: all until changed) go wrong. */
  setFault(fault: FileFault | undefined, times?: number): void;
}

export interface FileServerOptions {
  /** Whether it knows `Range`; default true. */
  readonly ranges?: boolean;
  /** Expects this bearer token. */
  readonly token?: string;
}

/** Serves a directory over HTTP until the test ends. */
export async function serveFiles(
  t: TestContext,
  directory: string,
  { ranges = true, token }: FileServerOptions = {},
): Promise<FileServer> {
  const requests: FileRequest[] = [];
  let fault: { readonly fault: FileFault; times: number } | undefined;

  const takeFault = (): FileFault | undefined => {
    if (fault === undefined || fault.times <= 0) return undefined;
    fault.times -= 1;
    return fault.fault;
  };

  function answer(request: IncomingMessage, response: ServerResponse) {
    const { range, authorization } = request.headers;
    const entry: FileRequest = { path: request.url ?? '', range, authorization, status: 200 };
    requests.push(entry);
    const injected = takeFault();
    const end = (status: number, headers: Readonly<Record<string, string>> = {}) => {
      entry.status = status;
      response.writeHead(status, headers).end(`status ${status}`);
    };
    if (injected?.kind === 'status') return end(injected.status, injected.headers);
    if (injected?.kind === 'redirect') return end(302, { location: injected.location });
    if (token !== undefined && authorization !== `Bearer ${token}`) return end(401);
    let content: Buffer;
    try {
      content = readFileSync(join(directory, decodeURIComponent(entry.path)));
    } catch {
      return end(404);
    }
    const start = ranges ? Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) : 0;
    entry.status = start > 0 ? 206 : 200;
    sendFile(response, content, start, injected);
  }

  const server = createServer(answer);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    setFault: (next, times = Infinity) => {
      fault = next === undefined ? undefined : { fault: next, times };
    },
  };
}

function sendFile(
  response: ServerResponse,
  content: Buffer,
  start: number,
  fault: FileFault | undefined,
): void {
  if (fault?.kind === 'endless') {
    response.writeHead(200);
    const send = (): boolean => response.write(Buffer.alloc(16 * 1024)) && send();
    response.on('drain', send);
    send();
    return;
  }
  const body = Buffer.from(content.subarray(start));
  if (fault?.kind === 'lie') body[fault.at] = (body[fault.at] ?? 0) ^ 1;
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': String(body.length),
    ...(start > 0 && {
      'content-range': `bytes ${start}-${content.length - 1}/${content.length}`,
    }),
  });
  if (fault?.kind === 'drip') {
    const dripping = setInterval(() => response.write(Buffer.of(body[sent++] ?? 0)), 20);
    let sent = 0;
    response.on('close', () => clearInterval(dripping));
    return;
  }
  if (fault?.kind !== 'cut' && fault?.kind !== 'hang') {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, fault.after), () => {
    // An end, not a reset, which would overtake what was written.
    if (fault.kind === 'cut') response.socket?.end();
  });
}
