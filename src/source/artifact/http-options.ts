import type { Connections } from '../../wire/connections.ts';

/** How artifacts are had over HTTP. */
export interface HttpOptions {
  readonly connections: Connections;
  readonly idleTimeoutMs: number;
  /** The only server that is sent the token; undefined where none is. */
  readonly registryUrl: string | undefined;
  /** Read before every request, so that a rotated token is taken at once. */
  readonly token: () => Promise<string | undefined>;
  /** The first wait before another attempt; default 500. */
  readonly retryDelayMs?: number;
}
