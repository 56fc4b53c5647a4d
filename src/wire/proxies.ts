import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import { redactUrl, registerSecret } from '../redaction.ts';

export interface Proxies {
  /** For http:// and https:// URLs, user info included; undefined where there is none. */
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are asked directly, as NO_PROXY lists them. */
  readonly except: string;
}

/**
 * The proxies that an environment names as curl reads it: the lower-case name goes before the upper-case
 * one, `*_FILE` says where either stands, and a URL without a scheme is an http:// one.
 *
 * @throws RinglockError `invalid-proxy`, and what readSecret() throws
 */
export async function readProxies(environment: NodeJS.ProcessEnv): Promise<Proxies> {
  return {
    http: await readProxy('HTTP_PROXY', environment),
    https: await readProxy('HTTPS_PROXY', environment),
    except: environment['no_proxy'] ?? environment['NO_PROXY'] ?? '',
  };
}

async function readProxy(
  name: string,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const lower = name.toLowerCase();
  const text = (await readSecret(lower, environment)) ?? (await readSecret(name, environment));
  if (text === undefined) return undefined;
  const url = text.includes('://') ? text : `http://${text}`;
  registerSecret(url);
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw badInput(
    'invalid-proxy',
    `${name} is ${JSON.stringify(redactUrl(url))}, expected http://host:port or https://host:port`,
    { hint: 'Characters such as @ / : # in its password are written as %40 %2F %3A %23.' },
  );
}
