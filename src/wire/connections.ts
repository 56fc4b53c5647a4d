import type { SecureContext } from 'node:tls';
import type { Agent, Dispatcher } from 'undici';
import { redactUrl } from '../redaction.ts';
import { readCertificateAuthorities, trustAlso } from './certificate-authorities.ts';
import { isLoopback } from './loopback.ts';
import { type Proxies, readProxies } from './proxies.ts';

export interface ConnectionOptions {
  /** How long a server or proxy may stay silent, in ms: connecting, before and while it answers. */
  readonly idleTimeoutMs: number;
  /** PEM certificates of authorities that are trusted besides node's. */
  readonly caFile: string | undefined;
  /** Where the proxies are read from. */
  readonly environment: NodeJS.ProcessEnv;
}

/** undici takes longer to load than many a command to run: it is loaded for the first request. */
const loadUndici = async () => (await import('undici')).default;
type Undici = Awaited<ReturnType<typeof loadUndici>>;

/** The way to one server. */
export interface Way {
  readonly request: Undici['request'];
  readonly dispatcher: Dispatcher;
  /** The proxy that is asked unless NO_PROXY names the server, for messages: without user info. */
  readonly proxy: string | undefined;
}

/** How servers are reached: what TLS trusts and which proxy is asked, as files and environment say now. */
export class Connections {
  readonly #options: ConnectionOptions;
  #made: Made | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /**
   * Loopback is never asked through a proxy. What was rotated holds from this call on; requests under way
   * end as they began.
   *
   * @throws RinglockError `ca-file-unreadable`, `ca-file-invalid`, `invalid-proxy`
   */
  async wayTo(url: URL): Promise<Way> {
    const undici = await loadUndici();
    const { request } = undici;
    const { direct, proxied, proxies } = await this.#present(undici);
    const proxy = url.protocol === 'https:' ? proxies.https : proxies.http;
    if (proxy === undefined || isLoopback(url.hostname))
      return { request, dispatcher: direct, proxy: undefined };
    return { request, dispatcher: proxied, proxy: redactUrl(proxy) };
  }

  async close(): Promise<void> {
    const made = this.#made;
    this.#made = undefined;
    await Promise.all([made?.direct.destroy(), made?.proxied.destroy()]);
  }

  async #present(undici: Undici): Promise<Made> {
    const { caFile, environment } = this.#options;
    const authorities = caFile === undefined ? [] : await readCertificateAuthorities(caFile);
    const proxies = await readProxies(environment);
    const key = JSON.stringify([authorities, proxies]);
    if (this.#made?.key === key) return this.#made;
    const trust = authorities.length === 0 ? undefined : await trustAlso(authorities, environment);
    const before = this.#made;
    this.#made = { key, proxies, ...this.#make(undici, proxies, trust) };
    // Their last requests may end; nobody waits for them.
    for (const old of [before?.direct, before?.proxied]) old?.close().catch(() => {});
    return this.#made;
  }

  #make(
    { Agent, EnvHttpProxyAgent, Pool }: Undici,
    { http, https, except }: Proxies,
    secureContext: SecureContext | undefined,
  ): Pick<Made, 'direct' | 'proxied'> {
    const { idleTimeoutMs } = this.#options;
    const tls = secureContext === undefined ? {} : { secureContext };
    const limits = { headersTimeout: idleTimeoutMs, bodyTimeout: idleTimeoutMs };
    const agent: Agent.Options = {
      ...limits,
      connect: { timeout: idleTimeoutMs, ...tls },
      keepAliveTimeout: 60_000,
    };
    return {
      direct: new Agent(agent),
      proxied: new EnvHttpProxyAgent({
        ...agent,
        requestTls: { timeout: idleTimeoutMs, ...tls },
        proxyTls: { timeout: idleTimeoutMs, ...tls },
        // A proxy that takes the connection and then says nothing is given up like a server.
        clientFactory: (origin, options) => new Pool(origin, { ...options, ...limits }),
        // An empty text says that there is none; leaving it out would have the process's own read.
        httpProxy: http ?? '',
        httpsProxy: https ?? '',
        noProxy: except,
      }),
    };
  }
}

interface Made {
  /** What it was made from. */
  readonly key: string;
  readonly proxies: Proxies;
  readonly direct: Dispatcher;
  readonly proxied: Dispatcher;
}
