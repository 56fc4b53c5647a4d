import { environmentFailed } from '../errors.ts';
import { redactLine } from '../redaction.ts';
import {
  askForge,
  type ForgeAccess,
  type ForgeCredentials,
  type ForgeRequest,
} from '../release/forge-requests.ts';
import type { RequestSettings } from '../repo/request-settings.ts';
import type { MergeRequest, RequestForge } from './request-forge.ts';

/** A merge request as the API gives it, as far as it is read. */
interface GitlabRequest {
  readonly iid?: number;
  readonly web_url?: string;
  readonly title?: string;
  readonly description?: string | null;
  readonly state?: string;
  readonly target_branch?: string;
  readonly source_project_id?: number | null;
  readonly target_project_id?: number;
  readonly merge_user?: { readonly username?: string } | null;
  /** Its name before GitLab 14.7. */
  readonly merged_by?: { readonly username?: string } | null;
  readonly closed_by?: { readonly username?: string } | null;
}

/**
 * Merge requests of a GitLab project.
 *
 * @see https://docs.gitlab.com/api/merge_requests/
 */
export function gitlabMergeRequests(
  { url, project }: RequestSettings,
  access: ForgeAccess,
  credentials: ForgeCredentials,
): RequestForge {
  const requests = `${url}/api/v4/projects/${encodeURIComponent(project)}/merge_requests`;
  const ask = (request: ForgeRequest) => askForge(access, credentials, request);
  const read = (value: unknown) => mergeRequest(value, access.display);
  return {
    display: access.display,
    list: async (branch, signal) => {
      const query = new URLSearchParams({
        ...{ source_branch: branch, state: 'all', scope: 'all' },
        ...{ order_by: 'created_at', sort: 'desc', per_page: '100' },
      });
      const { value } = await ask({ method: 'GET', url: new URL(`${requests}?${query}`), signal });
      if (!Array.isArray(value)) throw malformed(access.display);
      return (value as GitlabRequest[]).filter(isOfProject).map(read);
    },
    create: async ({ branch, target, title, text }, signal) => {
      const body = {
        ...{ source_branch: branch, target_branch: target, title, description: text },
        // The trailers of the commit stay, and the branch goes with the merge.
        ...{ squash: false, remove_source_branch: true },
      };
      const asked = {
        method: 'POST',
        url: new URL(requests),
        body,
        expect: [409],
        signal,
      } as const;
      const { status, value } = await ask(asked);
      return status === 409 ? undefined : read(value);
    },
    update: async (number, { title, text }, signal) => {
      const body = { title, description: text };
      const own = new URL(`${requests}/${number}`);
      return read((await ask({ method: 'PUT', url: own, body, signal })).value);
    },
  };
}

/** A fork's branch may have the same name. */
function isOfProject({ source_project_id, target_project_id }: GitlabRequest): boolean {
  return source_project_id === target_project_id;
}

function mergeRequest(value: unknown, display: string): MergeRequest {
  const found = (value ?? {}) as GitlabRequest;
  const { iid, web_url, title, description, state = '', target_branch } = found;
  const states = { opened: 'open', locked: 'merging', merged: 'merged', closed: 'closed' } as const;
  if (
    typeof iid !== 'number' ||
    typeof target_branch !== 'string' ||
    !Object.hasOwn(states, state)
  ) {
    throw malformed(display);
  }
  const by = (found.merge_user ?? found.merged_by ?? found.closed_by)?.username;
  return {
    number: iid,
    reference: `!${iid}`,
    url: redactLine(web_url ?? ''),
    title: title ?? '',
    text: description ?? '',
    state: states[state as keyof typeof states],
    target: target_branch,
    by: by === undefined ? undefined : redactLine(by),
  };
}

function malformed(display: string) {
  return environmentFailed('forge-malformed', `${display} answers with what is no merge request`, {
    hint: 'Check mergeRequests.url: it has to be that of the GitLab server itself.',
  });
}
