import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** A network between two, which can be cut and healed. */
export interface TcpProxy {
  /** The same URL, through the proxy. */
  readonly url: string;
  /** Forwards nothing more and says nothing of it, also on new connections. */
  stall(): void;
  /** Lets the server see the end of what is stalled, as its own keepalive would. */
  dropServerSide(): void;
  /** Resets every connection, and each new one. */
  reset(): void;
  /** Forwards again; what was stalled is reset. */
  heal(): void;
}

export async function startTcpProxy(t: TestContext, targetUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(targetUrl);
  const pairs = new Map<Socket, Socket>();
  let mode: 'open' | 'stalled' | 'reset' = 'open';
  const server = createServer((client) => {
    client.on('error', () => {});
    if (mode === 'reset') return void client.resetAndDestroy();
    const upstream = connect(Number(port), hostname);
    upstream.on('error', () => client.destroy());
    pairs.set(client, upstream);
    // Both ends stay open when the network is silent: nobody hears of the other's end.
    client.on('data', (bytes) => mode === 'stalled' || upstream.write(bytes));
    upstream.on('data', (bytes) => mode === 'stalled' || client.write(bytes));
    client.on('close', () => mode === 'stalled' || upstream.destroy());
    upstream.on('close', () => mode === 'stalled' || client.destroy());
  });
  const resetAll = () => {
    for (const [client, upstream] of pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
    pairs.clear();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    resetAll();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = new URL(targetUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    stall: () => {
      mode = 'stalled';
    },
    dropServerSide: () => {
      for (const upstream of pairs.values()) upstream.destroy();
    },
    reset: () => {
      mode = 'reset';
      resetAll();
    },
    heal: () => {
      if (mode === 'stalled') resetAll();
      mode = 'open';
    },
  };
}
