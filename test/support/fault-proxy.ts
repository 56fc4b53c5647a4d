import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
  request as send,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** What becomes of a request on its way; undefined: it is passed on as it is. */
export type Fault =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** Nothing is answered: the connection ends at once, or never. */
  | 'cut'
  | 'hang'
  /** The answer ends, or falls silent, after so many bytes of its body. */
  | { readonly cutAfter: number }
  | { readonly silentAfter: number }
  /** The server does not hear of these headers. */
  | { readonly without: readonly string[] }
  /** Its headers as they were, but with this length. */
  | { readonly rewrite: (body: Buffer) => Buffer };

export interface PassedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

/** A server between, that lets requests go wrong. */
export interface FaultProxy {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly passed: PassedRequest[];
  fault: (request: PassedRequest) => Fault | undefined;
}

export async function startFaultProxy(t: TestContext, upstream: string): Promise<FaultProxy> {
  const passed: PassedRequest[] = [];
  const server = createServer((request, response) => {
    const { method = '', url: path = '', headers } = request;
    const asked = { method, path, headers };
    passed.push(asked);
    const fault = proxy.fault(asked);
    if (fault === 'cut') return void request.socket.destroy();
    if (fault === 'hang') return;
    if (fault !== undefined && 'status' in fault) return void refuse(request, response, fault);
    passOn(request, response, upstream, fault);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed,
    fault: () => undefined,
  };
  return proxy;
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers = {}, body = '' }: Extract<Fault, { status: number }>,
): void {
  request.resume();
  request.on('end', () => response.writeHead(status, headers).end(body));
}

type Passing = Exclude<Fault, string | { status: number }> | undefined;

function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  upstream: string,
  fault: Passing,
): void {
  const headers = { ...request.headers };
  delete headers['connection'];
  if (fault !== undefined && 'without' in fault)
    for (const name of fault.without) delete headers[name];
  const onward = send(
    `${upstream}${request.url}`,
    { method: request.method, headers },
    (answer) => {
      if (fault !== undefined && 'rewrite' in fault)
        return void rewrite(answer, response, fault.rewrite);
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (fault !== undefined && ('cutAfter' in fault || 'silentAfter' in fault)) {
        return void breakOff(answer, response, fault);
      }
      answer.pipe(response);
    },
  );
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

async function rewrite(
  answer: IncomingMessage,
  response: ServerResponse,
  change: (body: Buffer) => Buffer,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const body = change(Buffer.concat(chunks));
  response.writeHead(answer.statusCode ?? 502, {
    ...answer.headers,
    'content-length': body.length,
  });
  response.end(body);
}

async function breakOff(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: { readonly cutAfter: number } | { readonly silentAfter: number },
): Promise<void> {
  let left = 'cutAfter' in fault ? fault.cutAfter : fault.silentAfter;
  for await (const chunk of answer) {
    const part = (chunk as Buffer).subarray(0, left);
    left -= part.length;
    await new Promise<void>((resolve) => response.write(part, () => resolve()));
    if (left === 0) break;
  }
  if ('cutAfter' in fault) response.destroy();
}
