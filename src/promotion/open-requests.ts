import { badInput } from '../errors.ts';
import { parseRemoteAddress } from '../git/credentials.ts';
import { type GitRepository, tryGit } from '../git/git-command.ts';
import { redactUrl, registerUrl } from '../redaction.ts';
import { mirrorEnvironment } from '../release/mirror-address.ts';
import { settingsFile } from '../repo/names.ts';
import type { RequestSettings } from '../repo/request-settings.ts';
import type { Settings } from '../repo/settings.ts';
import { RegistryHttp, type RegistryHttpOptions } from '../source/registry/registry-http.ts';
import { Connections } from '../wire/connections.ts';
import { githubPullRequests } from './github-pull-requests.ts';
import { gitlabMergeRequests } from './gitlab-merge-requests.ts';
import type { RequestRemote } from './request-branch.ts';
import {
  isForgesRemote,
  type RequestToken,
  readRequestToken,
  requestCredentials,
} from './request-credentials.ts';
import type { RequestForge } from './request-forge.ts';

/** Where branches are pushed to, and where their requests are opened. */
export interface RequestAccess {
  readonly remote: RequestRemote;
  readonly forge: RequestForge;
}

/** From where requests are made. */
export interface RequestPlace {
  /** The clone's remote. */
  readonly remoteName: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Variables of openGitTrust(). */
  readonly trust: Readonly<Record<string, string>>;
}

/**
 * The forge of `mergeRequests` in `manifests/ringlock.yaml`, else the one whose pipeline this is, and the
 * remote that belongs to it.
 *
 * @throws RinglockError `requests-not-set-up`, `no-such-remote`, `token-not-for-server`, `insecure-url`
 */
export async function openRequests(
  repository: GitRepository,
  { mergeRequests }: Pick<Settings, 'mergeRequests'>,
  { remoteName, environment, trust }: RequestPlace,
  options: Omit<RegistryHttpOptions, 'connections'> = {},
): Promise<RequestAccess> {
  const settings = mergeRequests ?? pipelineForge(environment);
  if (settings === undefined) {
    throw badInput(
      'requests-not-set-up',
      `${settingsFile} does not say where merge requests are opened`,
      {
        hint: 'Add mergeRequests with kind (gitlab or github), url and project.',
      },
    );
  }
  const url = await remoteUrl(repository, remoteName);
  const token = await readRequestToken(settings, url, environment);
  const credentials = requestCredentials(settings, token);
  const { idleTimeoutMs = 30_000 } = options;
  const caFile = environment['RINGLOCK_CA_FILE'] || undefined;
  const connections = new Connections({ idleTimeoutMs, caFile, environment });
  const http = new RegistryHttp({ ...options, connections });
  const kind = settings.kind === 'gitlab' ? 'GitLab' : 'GitHub';
  const { display: address } = parseRemoteAddress(settings.url);
  const display = `${kind} (${settings.project} at ${address})`;
  const open = settings.kind === 'gitlab' ? gitlabMergeRequests : githubPullRequests;
  return {
    remote: remoteOf(repository, settings, { remoteName, environment, trust, url }, token),
    forge: open(settings, { http, display, environment }, credentials),
  };
}

/** GitLab CI and GitHub Actions say where they run. */
function pipelineForge(environment: NodeJS.ProcessEnv): RequestSettings | undefined {
  const { CI_SERVER_URL, CI_PROJECT_PATH, GITHUB_API_URL, GITHUB_REPOSITORY } = environment;
  if (CI_SERVER_URL && CI_PROJECT_PATH) {
    return { kind: 'gitlab', url: CI_SERVER_URL.replace(/\/+$/, ''), project: CI_PROJECT_PATH };
  }
  if (GITHUB_API_URL && GITHUB_REPOSITORY) {
    return { kind: 'github', url: GITHUB_API_URL.replace(/\/+$/, ''), project: GITHUB_REPOSITORY };
  }
  return undefined;
}

async function remoteUrl({ topLevel }: GitRepository, name: string): Promise<string> {
  const { status, stdout } = await tryGit(topLevel, ['remote', 'get-url', '--push', '--', name]);
  const url = stdout.toString().trim();
  if (status === 0 && url !== '') {
    registerUrl(url);
    return url;
  }
  const { stdout: names } = await tryGit(topLevel, ['remote']);
  throw badInput('no-such-remote', `this clone has no remote ${JSON.stringify(name)}`, {
    hint: `Remotes here: ${names.toString().trim().split('\n').join(', ') || 'none'}; name one with --remote.`,
  });
}

/** The token goes along where the remote is the forge itself; else git has its own means. */
function remoteOf(
  repository: GitRepository,
  settings: RequestSettings,
  { remoteName, environment, trust, url }: RequestPlace & { readonly url: string },
  token: RequestToken | undefined,
): RequestRemote {
  const { hint } = requestCredentials(settings, token);
  const display = redactUrl(url);
  if (token === undefined || !isForgesRemote(settings, url)) {
    const env = mirrorEnvironment({ url, isHttp: false }, undefined, environment, trust);
    return {
      repository,
      place: remoteName,
      display,
      env,
      hint: `See that git may push there. ${hint}`,
    };
  }
  const address = { url: parseRemoteAddress(url).url.href, isHttp: true };
  const env = mirrorEnvironment(address, token.token, environment, trust);
  return { repository, place: address.url, display, env, hint };
}
