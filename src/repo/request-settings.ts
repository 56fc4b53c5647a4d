import { badInput } from '../errors.ts';
import { settingsFile } from './names.ts';

/** Where merge requests (pull requests) are opened. */
export interface RequestSettings {
  readonly kind: 'gitlab' | 'github';
  /** Of GitLab, or of GitHub's API. */
  readonly url: string;
  /** Number or path of the project, or `owner/repository`. */
  readonly project: string;
}

export interface RequestYaml {
  readonly kind: 'gitlab' | 'github';
  readonly url?: string;
  readonly project: string;
}

export const githubApi = 'https://api.github.com';

/** @throws RinglockError `invalid-file` */
export function requestSettings({ kind, url, project }: RequestYaml): RequestSettings {
  if (kind === 'gitlab' && url === undefined) {
    throw badInput(
      'invalid-file',
      `${settingsFile}: mergeRequests has no url, expected that of the GitLab server`,
    );
  }
  if (kind === 'github' && !/^[^/]+\/[^/]+$/.test(project)) {
    throw badInput(
      'invalid-file',
      `${settingsFile}: mergeRequests.project is ${JSON.stringify(project)}, expected owner/repository`,
    );
  }
  return { kind, url: (url ?? githubApi).replace(/\/+$/, ''), project };
}
