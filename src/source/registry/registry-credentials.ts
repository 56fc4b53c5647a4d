import { readJobToken, readToken } from '../../environment.ts';
import { isSameOrigin } from '../../wire/same-origin.ts';

/** What a registry is asked with. */
export interface RegistryCredentials {
  /** Undefined: nothing is sent. */
  readonly token: string | undefined;
  /** For basic authentication; undefined where only a token was given. */
  readonly user: string | undefined;
  /** Of a GitLab CI job. */
  readonly isJobToken: boolean;
  /** For messages: the variable, or `no credentials`. */
  readonly source: string;
}

const noCredentials: RegistryCredentials = {
  token: undefined,
  user: undefined,
  isJobToken: false,
  source: 'no credentials',
};

/**
 * The credentials for a registry, as environment and `*_FILE` say now.
 *
 * A repository names registries and must not come by a token that way: where MODULE_REGISTRY_URL is set,
 * MODULE_REGISTRY_TOKEN goes to that server only (so with other names), CI's own to CI's own server only.
 *
 * @param url of the registry
 * @param mustBeBound sends a token only to a server that the environment names
 * @throws RinglockError `secret-given-twice`, `secret-unreadable`
 */
export async function registryCredentials(
  url: URL,
  tokenVariable: string,
  environment: NodeJS.ProcessEnv,
  mustBeBound = false,
): Promise<RegistryCredentials> {
  const token = await readToken(tokenVariable, environment);
  const urlVariable = tokenVariable.replace(/_TOKEN$/, '_URL');
  const bound = environment[urlVariable];
  const isItsOwn = bound ? isSameOrigin(url, bound) : !mustBeBound;
  if (token !== undefined && isItsOwn) {
    const user = environment[tokenVariable.replace(/_TOKEN$/, '_USER')] || undefined;
    return { token, user, isJobToken: false, source: tokenVariable };
  }
  const ofJob = await jobCredentials(url, environment);
  if (ofJob !== undefined) return ofJob;
  if (token === undefined) return noCredentials;
  const what = bound
    ? `is for ${bound}`
    : `goes only to the server of ${urlVariable}, which is not set`;
  return { ...noCredentials, source: `no credentials (${tokenVariable} ${what})` };
}

async function jobCredentials(
  url: URL,
  environment: NodeJS.ProcessEnv,
): Promise<RegistryCredentials | undefined> {
  const job = await readJobToken(url, environment);
  if (job !== undefined) {
    return { token: job, user: 'gitlab-ci-token', isJobToken: true, source: 'CI_JOB_TOKEN' };
  }
  // GitLab's container registry may be another host; it takes these for as long as the job runs.
  const password = await readToken('CI_REGISTRY_PASSWORD', environment);
  if (password === undefined || url.host !== environment['CI_REGISTRY']) return undefined;
  const user = environment['CI_REGISTRY_USER'] || 'gitlab-ci-token';
  return { token: password, user, isJobToken: false, source: 'CI_REGISTRY_PASSWORD' };
}
