import { environmentFailed } from '../../errors.ts';
import { redactUrl, registerSecret } from '../../redaction.ts';
import { isLoopback } from '../../wire/loopback.ts';
import type { RegistryCredentials } from './registry-credentials.ts';
import type { FailureContext } from './registry-failures.ts';
import { ignoreBody, jsonBody, malformed, type RegistryHttp } from './registry-http.ts';

export type OciActions = 'pull' | 'pull,push';

/** How a registry wants to be asked. */
type Challenge = { readonly scheme: 'none' | 'basic' } | BearerChallenge;

interface BearerChallenge {
  readonly scheme: 'bearer';
  readonly realm: URL;
  readonly service: string | undefined;
}

interface BearerToken {
  readonly header: string;
  /** As performance.now(). */
  readonly until: number;
}

/** A token is not used in its last moments. */
const reserveMs = 10_000;
/** Where the answer does not say ("Token Authentication Specification"). */
const usualLifeSeconds = 60;

/**
 * Authorises requests to an OCI registry: it is asked once which way it wants, basic or a bearer token
 * of a token server ("Token Authentication Specification" of distribution).
 */
export class OciAuthorization {
  readonly #http: RegistryHttp;
  readonly #registry: URL;
  readonly #tokens = new Map<string, BearerToken>();
  #challenge: Challenge | undefined;

  /** @param registry `https://host/` */
  constructor(http: RegistryHttp, registry: URL) {
    this.#http = http;
    this.#registry = registry;
  }

  /** The headers for a repository. @throws RinglockError `registry-…` */
  async headers(
    credentials: RegistryCredentials,
    repository: string,
    actions: OciActions,
    context: FailureContext,
  ): Promise<Readonly<Record<string, string>>> {
    this.#challenge ??= await this.#askChallenge(context);
    const challenge = this.#challenge;
    if (challenge.scheme === 'none') return {};
    const basic = basicHeader(credentials);
    if (challenge.scheme !== 'bearer') return basic === undefined ? {} : { authorization: basic };
    const scope = `repository:${repository}:${actions}`;
    const key = `${scope} ${basic}`;
    const known = this.#tokens.get(key);
    if (known !== undefined && known.until > performance.now()) {
      return { authorization: known.header };
    }
    const token = await this.#askToken(challenge, scope, basic, context);
    this.#tokens.set(key, token);
    return { authorization: token.header };
  }

  async #askChallenge(context: FailureContext): Promise<Challenge> {
    const url = new URL('/v2/', this.#registry);
    const asked = { method: 'GET', url, expect: [401, 404], context } as const;
    return await this.#http.send(asked, async (answer) => {
      await ignoreBody(answer);
      if (answer.status === 404) {
        throw malformed(context.display, `has no ${url.href}: it is no OCI registry`);
      }
      if (answer.status !== 401) return { scheme: 'none' };
      return this.#parseChallenge(answer.headers['www-authenticate'], context.display);
    });
  }

  #parseChallenge(header: string | string[] | undefined, display: string): Challenge {
    const text = Array.isArray(header) ? header.join(', ') : (header ?? '');
    const bearer = /(?:^|,\s*)bearer\s+(.*)$/i.exec(text)?.[1];
    if (bearer === undefined) {
      if (/(?:^|,\s*)basic\b/i.test(text)) return { scheme: 'basic' };
      throw malformed(display, `asks for ${JSON.stringify(text)}, expected Basic or Bearer`);
    }
    const parameter = (name: string) =>
      new RegExp(`(?:^|[,\\s])${name}="([^"]*)"`, 'i').exec(bearer)?.[1];
    const realm = parameter('realm') ?? '';
    if (!URL.canParse(realm)) throw malformed(display, 'names no token server');
    const url = new URL(realm);
    const isPlainHere = isLoopback(url.hostname) && isLoopback(this.#registry.hostname);
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isPlainHere)) {
      throw environmentFailed(
        'registry-redirected',
        `${display} names the token server ${redactUrl(realm)}, expected https://`,
      );
    }
    return { scheme: 'bearer', realm: url, service: parameter('service') };
  }

  async #askToken(
    { realm, service }: BearerChallenge,
    scope: string,
    basic: string | undefined,
    context: FailureContext,
  ): Promise<BearerToken> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', scope);
    const asked = {
      ...({ method: 'GET', url, context } as const),
      ...(basic !== undefined && { authorization: { authorization: basic } }),
    };
    const answer = await this.#http.send(asked, (got) => jsonBody(got, context.display));
    const { token, access_token, expires_in = usualLifeSeconds } = (answer ?? {}) as TokenAnswer;
    const value = token ?? access_token;
    if (typeof value !== 'string' || value === '') {
      throw malformed(
        context.display,
        `has a token server (${redactUrl(realm.href)}) that gives no token`,
      );
    }
    registerSecret(value);
    const lifeMs = (Number(expires_in) || usualLifeSeconds) * 1000;
    return { header: `Bearer ${value}`, until: performance.now() + lifeMs - reserveMs };
  }
}

interface TokenAnswer {
  readonly token?: unknown;
  readonly access_token?: unknown;
  readonly expires_in?: unknown;
}

/** Where only a token was given the user's name is of no account to most registries. */
function basicHeader({ token, user }: RegistryCredentials): string | undefined {
  if (token === undefined) return undefined;
  const pair = `${user ?? 'oauth2'}:${token}`;
  const encoded = Buffer.from(pair).toString('base64');
  registerSecret(encoded);
  return `Basic ${encoded}`;
}
