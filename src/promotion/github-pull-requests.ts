import { environmentFailed } from '../errors.ts';
import { redactLine } from '../redaction.ts';
import {
  askForge,
  type ForgeAccess,
  type ForgeAnswer,
  type ForgeCredentials,
  type ForgeRequest,
} from '../release/forge-requests.ts';
import type { RequestSettings } from '../repo/request-settings.ts';
import type { MergeRequest, RequestForge } from './request-forge.ts';

const headers = {
  accept: 'application/vnd.github+json, application/json',
  'x-github-api-version': '2022-11-28',
};

/** A pull request as the API gives it, as far as it is read. */
interface GithubRequest {
  readonly number?: number;
  readonly html_url?: string;
  readonly title?: string;
  readonly body?: string | null;
  readonly state?: string;
  readonly merged_at?: string | null;
  readonly base?: { readonly ref?: string };
  readonly head?: { readonly repo?: { readonly full_name?: string } | null };
}

/**
 * Pull requests of a GitHub repository.
 *
 * @see https://docs.github.com/en/rest/pulls/pulls
 */
export function githubPullRequests(
  { url, project }: RequestSettings,
  access: ForgeAccess,
  credentials: ForgeCredentials,
): RequestForge {
  const pulls = `${url}/repos/${project}/pulls`;
  const [owner = ''] = project.split('/');
  const ask = (request: ForgeRequest) => askForge(access, credentials, { ...request, headers });
  const read = (value: unknown) => mergeRequest(value, access.display);
  return {
    display: access.display,
    list: async (branch, signal) => {
      const query = new URLSearchParams({
        ...{ head: `${owner}:${branch}`, state: 'all' },
        ...{ sort: 'created', direction: 'desc', per_page: '100' },
      });
      const { value } = await ask({ method: 'GET', url: new URL(`${pulls}?${query}`), signal });
      if (!Array.isArray(value)) throw malformed(access.display);
      // A fork of the same owner may have a branch of that name; a fork that was deleted is null.
      const isOwn = ({ head }: GithubRequest) =>
        head?.repo?.full_name?.toLowerCase() === project.toLowerCase();
      return (value as GithubRequest[]).filter(isOwn).map(read);
    },
    create: async ({ branch, target, title, text }, signal) => {
      const body = { title, body: text, head: branch, base: target };
      const asked = { method: 'POST', url: new URL(pulls), body, expect: [422], signal } as const;
      const answer = await ask(asked);
      if (answer.status !== 422) return read(answer.value);
      if (/already exists/i.test(JSON.stringify(answer.value))) return undefined;
      throw notMade(access.display, answer);
    },
    update: async (number, { title, text }, signal) => {
      const body = { title, body: text };
      const own = new URL(`${pulls}/${number}`);
      return read((await ask({ method: 'PATCH', url: own, body, signal })).value);
    },
  };
}

function mergeRequest(value: unknown, display: string): MergeRequest {
  const { number, html_url, title, body, state, merged_at, base } = (value ?? {}) as GithubRequest;
  if (typeof number !== 'number' || typeof base?.ref !== 'string' || !state) {
    throw malformed(display);
  }
  return {
    number,
    reference: `#${number}`,
    url: redactLine(html_url ?? ''),
    title: title ?? '',
    text: body ?? '',
    state: state === 'open' ? 'open' : merged_at ? 'merged' : 'closed',
    target: base.ref,
    by: undefined,
  };
}

function notMade(display: string, { value }: ForgeAnswer) {
  const said = redactLine(JSON.stringify(value));
  return environmentFailed('forge-failed', `${display} opens no pull request (422): ${said}`, {
    hint: 'The branch was pushed: run the same again once the reason is gone.',
    details: { status: 422 },
  });
}

function malformed(display: string) {
  return environmentFailed('forge-malformed', `${display} answers with what is no pull request`, {
    hint: "Check mergeRequests.url: it has to be that of GitHub's API.",
  });
}
