import { badInput } from '../errors.ts';
import { redactUrl, registerSecret } from '../redaction.ts';
import { isLoopback } from '../wire/loopback.ts';

/** A remote's address with the secrets moved out of sight. */
export interface RemoteAddress {
  /** Without user info; no slash at its end. */
  readonly url: URL;
  /** For messages. */
  readonly display: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

/**
 * @throws RinglockError `insecure-url` for http:// to another machine, `unsupported-url`
 */
export function parseRemoteAddress(text: string): RemoteAddress {
  const display = redactUrl(text);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw unsupported(display);
  }
  registerSecret(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw unsupported(display);
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw badInput(
      'insecure-url',
      `${display} is plain http: what comes from it, and the credentials that go there, can be read and changed on the way`,
      { hint: 'Use https://; plain http:// is for loopback addresses only.' },
    );
  }
  const user = decode(url.username);
  const password = decode(url.password);
  url.username = '';
  url.password = '';
  url.hash = '';
  url.search = '';
  url.pathname = url.pathname.replace(/\/+$/, '');
  return { url, display, user, password };
}

function unsupported(display: string): Error {
  return badInput(
    'unsupported-url',
    `${JSON.stringify(display)} is no address of a repository, expected https://…, ssh://user@host/…, user@host:path, file:///… or a path that exists`,
  );
}

function decode(text: string): string | undefined {
  if (text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export interface Credentials {
  /** The `Authorization` header, or undefined when there are none. */
  readonly authorization: string | undefined;
  /** For messages: where they came from. */
  readonly source: string;
}

/**
 * @param token goes before a password in the URL; the URL's user name is kept, since some servers care
 *   (`gitlab-ci-token`), else it is `oauth2`, which GitLab asks for and GitHub and Gitea accept
 */
export function credentialsFor(
  address: RemoteAddress,
  token: string | undefined,
  tokenSource: string,
): Credentials {
  const { user, password } = address;
  if (token !== undefined && token !== '') {
    return basic(user ?? 'oauth2', token, tokenSource);
  }
  if (user === undefined && password === undefined) {
    return { authorization: undefined, source: 'no credentials' };
  }
  return basic(user ?? '', password ?? '', 'the user name and password in the URL');
}

function basic(user: string, password: string, source: string): Credentials {
  // A token may stand in the user's place: https://TOKEN@host/…
  registerSecret(password === '' ? user : password);
  registerSecret(`${user}:${password}`);
  const encoded = Buffer.from(`${user}:${password}`).toString('base64');
  return { authorization: `Basic ${encoded}`, source };
}
