import type { RegistryCredentials } from './registry-credentials.ts';
import type { RegistryHttp } from './registry-http.ts';

/** What every kind of registry over HTTP is made of. */
export interface RegistryParts {
  readonly http: RegistryHttp;
  readonly url: URL;
  readonly tokenVariable: string;
  /** Read before every request. */
  readonly credentials: () => Promise<RegistryCredentials>;
  readonly idleTimeoutMs: number;
}
