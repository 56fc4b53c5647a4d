import { resolve } from 'node:path';
import { badInput, type RinglockError } from '../errors.ts';
import { credentialsFor, parseRemoteAddress } from '../git/credentials.ts';
import { redactUrl } from '../redaction.ts';

/** Where a module is mirrored. */
export interface MirrorAddress {
  /** For git, without credentials. */
  readonly url: string;
  /** Whether a token can go there: over https, or plain http on this machine. */
  readonly isHttp: boolean;
}

/**
 * The address of a mirror: `https://…`, `ssh://…`, `user@host:path`, `file://…`, an absolute path, or the
 * short forms `gitlab:group/name` (of the server that CI_SERVER_URL names, else gitlab.com) and
 * `github:owner/name`.
 *
 * @param file what messages say it stands in
 * @throws RinglockError `invalid-mirror`, `insecure-url`
 */
export function parseMirrorAddress(
  text: string,
  file: string,
  environment: NodeJS.ProcessEnv = process.env,
): MirrorAddress {
  const full = withoutShortForm(text.trim(), environment);
  if (/^https?:\/\//i.test(full)) {
    const { url, user, password } = parseRemoteAddress(full);
    if (user !== undefined || password !== undefined) throw hasCredentials(full, file);
    return { url: url.href, isHttp: true };
  }
  const isSsh = /^ssh:\/\/[^-\s][^\s]*$/i.test(full) || /^[\w.-]+@[\w.-]+:[^\s:][^\s]*$/.test(full);
  if (isSsh && !/^ssh:\/\/[^/@]*:[^/@]*@/i.test(full)) return { url: full, isHttp: false };
  if (/^file:\/\/\//i.test(full) || full.startsWith('/')) return { url: full, isHttp: false };
  throw badInput(
    'invalid-mirror',
    `${file}: ${JSON.stringify(redactUrl(full))} is no address of a mirror, expected https://…, ssh://…, user@host:path, file:///…, gitlab:group/name or github:owner/name`,
  );
}

/** Two spellings of one repository have one key, so that no two modules share a mirror. */
export function mirrorKey({ url }: MirrorAddress): string {
  const path = url.startsWith('/') ? `file://${resolve(url)}` : url;
  const scp = /^(?:[^/@]+@)?([^/:]+):(?!\/\/)(.+)$/.exec(path);
  const text = scp === null ? path : `ssh://${scp[1]}/${scp[2]}`;
  return text
    .replace(/^[a-z]+:\/\/(?:[^/@]*@)?/i, '')
    .replace(/\/+/g, '/')
    .replace(/(\.git)?\/*$/i, '')
    .toLowerCase();
}

/**
 * The environment in which git pushes: the token stands in a variable that git alone reads, and goes to
 * this address alone, since redirections are not followed.
 *
 * @param trust variables of openGitTrust()
 */
export function mirrorEnvironment(
  address: MirrorAddress,
  token: string | undefined,
  environment: NodeJS.ProcessEnv,
  trust: Readonly<Record<string, string>>,
): Record<string, string> {
  const own = (name: string): string => environment[name] ?? '';
  const config: (readonly [string, string])[] = [
    ['http.followRedirects', 'false'],
    ['http.lowSpeedLimit', '1'],
    ['http.lowSpeedTime', '60'],
    ['push.recurseSubmodules', 'no'],
  ];
  if (token !== undefined && address.isHttp) {
    const { authorization } = credentialsFor(
      parseRemoteAddress(address.url),
      token,
      'MIRROR_PUSH_TOKEN',
    );
    // What a clone of a pipeline brings along (extraHeader of its job token, helpers) is not for a mirror.
    config.push(['http.extraHeader', ''], [`http.${address.url}.extraHeader`, '']);
    config.push([`http.${address.url}.extraHeader`, `Authorization: ${authorization}`]);
    config.push(['credential.helper', '']);
  }
  const first = Number(own('GIT_CONFIG_COUNT')) || 0;
  const variables: Record<string, string> = {
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'https:http:ssh:file',
    ...trust,
    // Nothing of a request may come out on standard error.
    GIT_TRACE_CURL: '0',
    GIT_CURL_VERBOSE: '0',
    GIT_CONFIG_COUNT: String(first + config.length),
  };
  for (const [index, [key, value]] of config.entries()) {
    variables[`GIT_CONFIG_KEY_${first + index}`] = key;
    variables[`GIT_CONFIG_VALUE_${first + index}`] = value;
  }
  if (token !== undefined && address.isHttp) variables['GIT_ASKPASS'] = '';
  return variables;
}

function withoutShortForm(text: string, environment: NodeJS.ProcessEnv): string {
  const [, host, path] = /^(gitlab|github):([\w.-]+(?:\/[\w.-]+)+)$/.exec(text) ?? [];
  if (host === 'github') return `https://github.com/${path}.git`;
  if (host === undefined) return text;
  const server = environment['CI_SERVER_URL'] || 'https://gitlab.com';
  return `${server.replace(/\/+$/, '')}/${path}.git`;
}

function hasCredentials(url: string, file: string): RinglockError {
  return badInput(
    'invalid-mirror',
    `${file}: the mirror's address ${redactUrl(url)} has a user or a password in it`,
    { hint: 'Take it out; the token comes from MIRROR_PUSH_TOKEN or MIRROR_PUSH_TOKEN_FILE.' },
  );
}
