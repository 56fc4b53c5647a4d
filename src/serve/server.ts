import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { environmentFailed } from '../errors.ts';
import { limitConnections } from './limit-connections.ts';
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
export interface ServerLimits {
  /** For the head of a request, in ms. */
  readonly headersMs: number;
  /** For a whole request, in ms. */
  readonly requestMs: number;
  /** Open at once; a further one takes the place of the one that waits longest. */
  readonly connections: number;
}

const usualLimits: ServerLimits = { headersMs: 10_000, requestMs: 20_000, connections: 128 };

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
  { headersMs, requestMs, connections }: ServerLimits = usualLimits,
): Promise<ObservedServer> {
  const { host, port } = parseListenAddress(listen);
  const server = createServer(
    {
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: headersMs / 5,
      keepAliveTimeout: 5_000,
      maxHeaderSize: 16 * 1024,
    },
    getRequestListener(routes(observed, webhook).fetch),
  );
  limitConnections(server, connections);
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
