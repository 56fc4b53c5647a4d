import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** A proxy that tunnels (HTTP CONNECT), and finds names as it was told. */
export interface ConnectProxy {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** `host:port` of every CONNECT so far. */
  readonly asked: string[];
  /** Answers every CONNECT with this status from here on; `hang` answers nothing. */
  refuse(answer: number | 'hang'): void;
}

export interface ProxyOptions {
  /** `host:port` → `host:port` where it really is. */
  readonly names: Readonly<Record<string, string>>;
  /** `user:password` that it asks for. */
  readonly user?: string;
}

export async function startConnectProxy(
  t: TestContext,
  { names, user }: ProxyOptions,
): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  let answer: number | 'hang' | undefined;
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    client.on('error', () => {});
    asked.push(request.url ?? '');
    if (answer === 'hang') return;
    const expected = user && `Basic ${Buffer.from(user).toString('base64')}`;
    const isUnknown = expected && request.headers['proxy-authorization'] !== expected;
    const refusal = answer ?? (isUnknown ? 407 : undefined);
    if (refusal !== undefined) return void client.end(`HTTP/1.1 ${refusal} no\r\n\r\n`);
    const [host = '', port] = (names[request.url ?? ''] ?? request.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 connected\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    refuse: (next) => {
      answer = next;
    },
  };
}
