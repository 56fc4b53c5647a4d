import { readToken } from '../environment.ts';
import { badInput } from '../errors.ts';
import { parseRemoteAddress } from '../git/credentials.ts';
import type { ForgeCredentials } from '../release/forge-requests.ts';
import { settingsFile } from '../repo/names.ts';
import { githubApi, type RequestSettings } from '../repo/request-settings.ts';
import { isSameOrigin } from '../wire/same-origin.ts';

const requestTokenName = 'RINGLOCK_REQUEST_TOKEN';
/** Says which server the token is for, where that is not the one that the clone came from. */
const requestUrlName = 'RINGLOCK_REQUEST_URL';

export interface RequestToken {
  readonly token: string;
  /** The variable it came from, for messages. */
  readonly source: string;
}

/**
 * The token for a forge. The settings are committed, so they alone do not say who gets it: the server has to
 * be the one that the clone's own remote is at, or that the environment names.
 *
 * @param remote the remote's URL, as git has it
 * @throws RinglockError `token-not-for-server`, `secret-unreadable`
 */
export async function readRequestToken(
  settings: RequestSettings,
  remote: string,
  environment: NodeJS.ProcessEnv,
): Promise<RequestToken | undefined> {
  const api = new URL(settings.url);
  const own = await readToken(requestTokenName, environment);
  if (own !== undefined) {
    if (!isTokensServer(api, remote, environment)) throw notItsServer(api, remote, environment);
    return { token: own, source: requestTokenName };
  }
  if (settings.kind !== 'github') return undefined;
  const isActions = isSameOrigin(api, environment['GITHUB_API_URL'] || githubApi);
  const actions = isActions ? await readToken('GITHUB_TOKEN', environment) : undefined;
  return actions === undefined ? undefined : { token: actions, source: 'GITHUB_TOKEN' };
}

/** Whether git's requests to a remote may carry the forge's token: it is the forge's own host. */
export function isForgesRemote({ url }: RequestSettings, remote: string): boolean {
  return /^https?:/i.test(remote) && hostOf(remote) === gitHost(new URL(url));
}

export function requestCredentials(
  { kind }: RequestSettings,
  token: RequestToken | undefined,
): ForgeCredentials {
  const scope =
    kind === 'gitlab'
      ? 'the scopes api and write_repository, and the role Developer'
      : '"Contents" and "Pull requests", read and write';
  if (token === undefined) {
    const hint = `Set ${requestTokenName} (or ${requestTokenName}_FILE) to a token with ${scope}.`;
    return { headers: {}, source: 'no credentials', hint };
  }
  const { source } = token;
  const hint =
    source === requestTokenName
      ? `${requestTokenName} is wrong, has expired, or lacks ${scope}.`
      : `Give the job \`permissions: {contents: write, pull-requests: write}\`, allow Actions to create pull requests, or set ${requestTokenName}.`;
  const headers =
    kind === 'gitlab'
      ? { 'private-token': token.token }
      : { authorization: `Bearer ${token.token}` };
  return { headers, source, hint };
}

function isTokensServer(api: URL, remote: string, environment: NodeJS.ProcessEnv): boolean {
  const named = environment[requestUrlName];
  return named ? isSameOrigin(api, named) : hostOf(remote) === gitHost(api);
}

function notItsServer(api: URL, remote: string, environment: NodeJS.ProcessEnv) {
  const named = environment[requestUrlName];
  const home = named
    ? `what ${requestUrlName} names`
    : `where the clone's remote is (${hostOf(remote) ?? 'no server'})`;
  return badInput(
    'token-not-for-server',
    `${requestTokenName} is not sent to ${api.origin}, which ${settingsFile} names: it is for ${home}`,
    { hint: `Set ${requestUrlName} to ${api.origin}, if that is the token's server.` },
  );
}

function gitHost(api: URL): string {
  return api.origin === githubApi ? 'github.com' : api.hostname;
}

/** The host of a URL, or of `user@host:path`. */
function hostOf(remote: string): string | undefined {
  if (/^(https?):/i.test(remote)) return parseRemoteAddress(remote).url.hostname;
  if (/^ssh:/i.test(remote) && URL.canParse(remote)) return new URL(remote).hostname;
  return /^(?:[^/@:]+@)?([\w.-]+):(?!\/\/)/.exec(remote)?.[1]?.toLowerCase();
}
