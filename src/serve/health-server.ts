import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { badInput, environmentFailed } from '../errors.ts';
import { lockFile } from '../repo/names.ts';
import type { RootStatus } from '../store/status-file.ts';

export interface HealthServer {
  /** `http://127.0.0.1:8080`, with the port that was really taken. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves `/healthz` (the process lives), `/readyz` (200 once a complete generation serves, the lock's
 * or the last good one), `/api/health` and `/metrics`.
 *
 * @param listen `port`, `host:port` or `[v6]:port`; the host is 127.0.0.1 when not given
 * @throws RinglockError `invalid-listen-address`, `listen-failed`
 */
export async function serveHealth(listen: string, status: () => RootStatus): Promise<HealthServer> {
  const { host, port } = parseListen(listen);
  const server = createServer(getRequestListener(healthApp(status).fetch));
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

function healthApp(status: () => RootStatus): Hono {
  const app = new Hono();
  app.get('/healthz', (context) => context.text('ok\n'));
  app.get('/readyz', (context) =>
    status().generation === null
      ? context.text('no generation serves yet\n', 503)
      : context.text('ok\n'),
  );
  app.get('/api/health', (context) => {
    const now = status();
    return context.json({
      status: now.generation === null ? 'starting' : now.degraded ? 'degraded' : 'ok',
      ring: { name: now.ring, lock_path: lockFile(now.ring) },
      state: now.state,
      commit: now.commit,
      converged_commit: now.converged_commit,
      generation: now.generation,
      modules: now.modules,
      holds: now.holds ?? {},
      held: now.held ?? {},
      degraded: now.degraded ?? null,
      operation: now.operation ?? null,
      last_error: now.last_error,
    });
  });
  app.get('/metrics', async (context) => {
    // Loaded when it is first asked for.
    const { metricsText } = await import('./metrics.ts');
    return context.text(await metricsText(status()), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    });
  });
  return app;
}

function parseListen(listen: string): { host: string; port: number } {
  const parts = /^(?:(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(listen);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw badInput(
      'invalid-listen-address',
      `--listen is ${JSON.stringify(listen)}, expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080`,
    );
  }
  return { host: parts[1] ?? (parts[2] || '127.0.0.1'), port };
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
