import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { environmentFailed } from '../errors.ts';
import { parseListenAddress } from './listen-address.ts';
import type { Observed } from './observed.ts';
import { routes } from './routes.ts';
import type { WebhookOptions } from './webhook.ts';

export interface ObservedServer {
  /** `http://127.0.0.1:8080`, with the port that was really taken. */
  readonly url: string;
  close(): Promise<void>;
}

/** Who connects may be slow, many or silent; a probe has to come through all the same. */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 2_000,
  maxHeaderSize: 16 * 1024,
};
const connectionsAtOnce = 128;

/**
 * Serves `/healthz`, `/readyz`, `/metrics`, `/api/health`, `/api/status` and `/webhook`.
 *
 * @param listen as parseListenAddress()
 * @throws RinglockError `invalid-listen-address`, `listen-failed`
 */
export async function serveObserved(
  listen: string,
  observed: Observed,
  webhook: WebhookOptions,
): Promise<ObservedServer> {
  const { host, port } = parseListenAddress(listen);
  const server = createServer(limits, getRequestListener(routes(observed, webhook).fetch));
  server.maxConnections = connectionsAtOnce;
  server.listen(port, host);
  await listening(server, listen);
  const address = server.address();
  const taken = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function listening(server: Server, listen: string): Promise<void> {
  try {
    await once(server, 'listening');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw environmentFailed('listen-failed', `cannot listen on ${listen}: ${reason}`, {
      hint: 'Choose another port with --listen.',
      cause: error,
    });
  }
}
