import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { onEnd } from './cleanup.ts';
import { gitEnvironment } from './repository.ts';

/** What a request asks for: the capability advertisement, the refs, or objects. */
export type GitRequestKind = 'info-refs' | 'ls-refs' | 'fetch' | 'other';

export interface GitRequest {
  readonly kind: GitRequestKind;
  readonly path: string;
  readonly authorization: string | undefined;
  /** The request's body, decompressed. */
  readonly body: Buffer;
  status: number;
  /** Bytes of the response's body that were sent. */
  responseBytes: number;
  /** Whether a fault took the end of the response away. */
  cut: boolean;
}

/** What goes wrong on the way; `after` and `at` are bytes of the response's body. */
export type GitFault =
  | { readonly kind: 'cut'; readonly after: number /** ended as if it were all */; clean?: boolean }
  | { readonly kind: 'hang'; readonly after?: number }
  /** A byte every 20 ms, for ever. */
  | { readonly kind: 'drip' }
  | { readonly kind: 'corrupt'; readonly at: number }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | { readonly kind: 'error-packet'; readonly message: string }
  | { readonly kind: 'redirect'; readonly location: string; readonly status?: number }
  | { readonly kind: 'page' };

export interface GitServerOptions {
  /** Expects this `Authorization` header's user and password. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** `uploadpack.allowFilter`; default true. */
  readonly allowFilter?: boolean;
  /** Whether the server hears `Git-Protocol: version=2`; default true. */
  readonly protocolV2?: boolean;
  /** Speaks TLS with this key and certificate, given when it starts. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** More git configuration, as `uploadpack.allowAnySHA1InWant`: `true`. */
  readonly config?: Readonly<Record<string, string>>;
}

export interface GitServer {
  /** `http://127.0.0.1:<port>`, or https; a repository `name.git` of the directory is `<url>/name.git`. */
  readonly url: string;
  /** Every request so far, oldest first; clear it with `requests.length = 0`. */
  readonly requests: GitRequest[];
  /** Lets the next `times` requests (default: all until changed) of a kind (default: any) go wrong. */
  setFault(
    fault: GitFault | undefined,
    options?: {
      readonly on?: GitRequestKind;
      readonly times?: number;
      /** So many of that kind go well before. */
      readonly skip?: number;
    },
  ): void;
  setOptions(options: GitServerOptions): void;
  close(): Promise<void>;
}

/** Serves every repository below a directory over smart HTTP until the test ends. */
export async function serveGit(
  t: TestContext,
  directory: string,
  options: GitServerOptions = {},
): Promise<GitServer> {
  const server = await startGitServer(directory, options);
  onEnd(t, () => server.close());
  return server;
}

/** The same for a caller that closes it itself: real `git http-backend` behind a loopback server. */
export async function startGitServer(
  directory: string,
  initialOptions: GitServerOptions = {},
): Promise<GitServer> {
  const requests: GitRequest[] = [];
  let options = initialOptions;
  let fault:
    | { fault: GitFault; on: GitRequestKind | undefined; times: number; skip: number }
    | undefined;

  const takeFault = (kind: GitRequestKind): GitFault | undefined => {
    if (fault === undefined || (fault.on !== undefined && fault.on !== kind)) return undefined;
    if (fault.skip > 0) {
      fault.skip -= 1;
      return undefined;
    }
    if (fault.times <= 0) return undefined;
    fault.times -= 1;
    return fault.fault;
  };

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch((error) => response.destroy(error));
  };
  const { tls } = initialOptions;
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const kind = kindOf(request, body);
    const entry: GitRequest = {
      kind,
      path: request.url ?? '/',
      authorization: request.headers.authorization,
      body,
      status: 0,
      responseBytes: 0,
      cut: false,
    };
    requests.push(entry);
    const injected = takeFault(kind);
    if (injected !== undefined && answerInstead(injected, request, response, entry)) return;
    if (!isAuthorized(request, options)) {
      entry.status = 401;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('unauthorized');
      return;
    }
    await runBackend({ directory, options, request, response, body, entry, fault: injected });
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    setFault: (next, { on, times = Number.POSITIVE_INFINITY, skip = 0 } = {}) => {
      fault = next === undefined ? undefined : { fault: next, on, times, skip };
    },
    setOptions: (next) => {
      options = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}

function kindOf(request: IncomingMessage, body: Buffer): GitRequestKind {
  if (request.url?.includes('/info/refs')) return 'info-refs';
  if (!request.url?.endsWith('/git-upload-pack')) return 'other';
  return body.subarray(0, 64).includes('command=ls-refs') ? 'ls-refs' : 'fetch';
}

function isAuthorized(request: IncomingMessage, { auth }: GitServerOptions): boolean {
  if (auth === undefined) return true;
  const expected = Buffer.from(`${auth.user}:${auth.password}`).toString('base64');
  return request.headers.authorization === `Basic ${expected}`;
}

/** Answers without git where the fault asks for it. */
function answerInstead(
  fault: GitFault,
  request: IncomingMessage,
  response: ServerResponse,
  entry: GitRequest,
): boolean {
  const type = request.url?.includes('/info/refs') ? 'advertisement' : 'result';
  const send = (status: number, headers: Record<string, string>, body: string): true => {
    entry.status = status;
    entry.responseBytes = Buffer.byteLength(body);
    response.writeHead(status, headers).end(body);
    return true;
  };
  switch (fault.kind) {
    case 'status':
      return send(fault.status, { ...fault.headers }, fault.body ?? 'no');
    case 'redirect':
      return send(fault.status ?? 302, { location: fault.location }, '');
    case 'page':
      return send(200, { 'content-type': 'text/html' }, '<!doctype html><h1>Sign in</h1>');
    case 'error-packet': {
      const line = `ERR ${fault.message}`;
      const length = (Buffer.byteLength(line) + 4).toString(16).padStart(4, '0');
      const headers = { 'content-type': `application/x-git-upload-pack-${type}` };
      return send(200, headers, `${length}${line}`);
    }
    case 'hang':
      return fault.after === undefined;
    default:
      return false;
  }
}

interface BackendCall {
  readonly directory: string;
  readonly options: GitServerOptions;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  readonly entry: GitRequest;
  readonly fault: GitFault | undefined;
}

async function runBackend(call: BackendCall): Promise<void> {
  const { response, body, entry } = call;
  const child = spawn('git', ['http-backend'], {
    env: backendEnvironment(call),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  response.on('close', () => child.kill());
  // git may end before it has read everything; that is its answer, not a failure of the server.
  child.stdin.on('error', () => {});
  Readable.from([body]).pipe(child.stdin);
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    let payload = chunk;
    if (head !== undefined) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) continue;
      entry.status = writeHead(response, head.subarray(0, end).toString('latin1'));
      payload = head.subarray(end + 4);
      head = undefined;
    }
    if (payload.length > 0 && !(await sendWithFault(call, payload))) return;
  }
  if (call.fault?.kind === 'hang') return;
  if (!response.headersSent) response.writeHead(500);
  response.end();
}

function backendEnvironment({ directory, options, request, body }: BackendCall): NodeJS.ProcessEnv {
  const [path, query] = (request.url ?? '/').split('?', 2);
  const config: Record<string, string> = {
    'uploadpack.allowFilter': String(options.allowFilter ?? true),
    'safe.directory': '*',
    'http.receivepack': 'false',
    ...options.config,
  };
  const environment: NodeJS.ProcessEnv = {
    ...gitEnvironment,
    GIT_PROJECT_ROOT: directory,
    GIT_HTTP_EXPORT_ALL: '1',
    GIT_CONFIG_COUNT: String(Object.keys(config).length),
    PATH_INFO: decodeURIComponent(path ?? '/'),
    QUERY_STRING: query ?? '',
    REQUEST_METHOD: request.method ?? 'GET',
    CONTENT_TYPE: request.headers['content-type'] ?? '',
    CONTENT_LENGTH: String(body.length),
    REMOTE_ADDR: '127.0.0.1',
  };
  for (const [index, [name, value]] of Object.entries(config).entries()) {
    environment[`GIT_CONFIG_KEY_${index}`] = name;
    environment[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  const protocol = request.headers['git-protocol'];
  if ((options.protocolV2 ?? true) && typeof protocol === 'string') {
    environment['GIT_PROTOCOL'] = protocol;
  }
  return environment;
}

function writeHead(response: ServerResponse, text: string): number {
  let status = 200;
  const headers: Record<string, string> = {};
  for (const line of text.split('\r\n')) {
    const [name = '', value = ''] = line.split(/:\s*/, 2);
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
    else headers[name] = value;
  }
  response.writeHead(status, headers);
  return status;
}

/** @returns false when the response has been ended or left hanging */
async function sendWithFault(call: BackendCall, payload: Buffer): Promise<boolean> {
  const { response, entry, fault } = call;
  let bytes = payload;
  let goesOn = true;
  if (fault?.kind === 'cut' || fault?.kind === 'hang') {
    const left = (fault.after ?? 0) - entry.responseBytes;
    goesOn = payload.length <= left;
    bytes = payload.subarray(0, Math.max(0, left));
  } else if (fault?.kind === 'corrupt') {
    const index = fault.at - entry.responseBytes;
    if (index >= 0 && index < payload.length) {
      bytes = Buffer.from(payload);
      bytes.writeUInt8(bytes.readUInt8(index) ^ 0x55, index);
    }
  }
  entry.responseBytes += bytes.length;
  if (fault?.kind === 'drip') {
    for (const byte of bytes) {
      if (response.destroyed) return false;
      response.write(Buffer.of(byte));
      await delay(20);
    }
    return true;
  }
  const sent = await new Promise<boolean>((resolve) =>
    response.write(bytes, (error) => resolve(error == null)),
  );
  if (goesOn) return sent;
  entry.cut = true;
  if (fault?.kind === 'cut') {
    if (fault.clean === true) response.end();
    else response.destroy();
  }
  return false;
}
