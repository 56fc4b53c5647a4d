import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Received, type StandIn, type StandInAnswer, standIn } from '../outward/stand-in.ts';

export const requestToken = 'glpat-request/token+0123456789';

/** A merge request as a forge keeps it. */
export interface KeptRequest {
  readonly number: number;
  readonly branch: string;
  target: string;
  title: string;
  text: string;
  state: 'open' | 'merging' | 'merged' | 'closed';
  /** Whether the branch is one of a fork. */
  readonly isForks?: boolean;
}

export interface RequestForgeStandIn extends StandIn {
  readonly kind: 'gitlab' | 'github';
  /** In the order in which they were made. */
  readonly requests: KeptRequest[];
  /** So many of the next changes are made, and their answers lost on the way. */
  lostAnswers: number;
  /** Requests that changed something, as `POST` or `PUT 7`. */
  readonly changes: string[];
}

/**
 * GitLab as far as docs.gitlab.com, "Merge requests API", goes, or GitHub as far as docs.github.com, REST API,
 * "Pull requests", goes.
 *
 * @param bare the repository whose branches the forge knows
 */
export async function serveRequests(
  t: TestContext,
  kind: 'gitlab' | 'github',
  bare: string,
): Promise<RequestForgeStandIn> {
  const kept: Kept = { requests: [], changes: [], bare };
  const answer = kind === 'gitlab' ? gitlabAnswer : githubAnswer;
  const forge: { current?: RequestForgeStandIn } = {};
  const served = await standIn(t, (request) => {
    const before = kept.changes.length;
    const given = answer(request, kept);
    const isLost = kept.changes.length > before && (forge.current?.lostAnswers ?? 0) > 0;
    if (!isLost || forge.current === undefined) return given;
    forge.current.lostAnswers -= 1;
    return { status: 502, body: { message: 'Bad gateway' } };
  });
  forge.current = Object.assign(served, {
    ...{ kind, requests: kept.requests, changes: kept.changes, lostAnswers: 0 },
  });
  return forge.current;
}

interface Kept {
  readonly requests: KeptRequest[];
  readonly changes: string[];
  readonly bare: string;
}

const said = (status: number, message: unknown): StandInAnswer => ({ status, body: { message } });

function gitlabAnswer({ path, headers, body }: Received, kept: Kept): StandInAnswer {
  if (headers['private-token'] !== requestToken) return said(401, '401 Unauthorized');
  const { pathname, searchParams: query } = new URL(path, 'http://forge');
  const [, project, tail] =
    /^\/api\/v4\/projects\/([^/]+)\/merge_requests(?:\/(\d+))?$/.exec(pathname) ?? [];
  if (project !== 'acme%2Fplatform') return said(404, '404 Project Not Found');
  const asked = body === '' ? undefined : JSON.parse(body);
  if (asked === undefined) {
    const found = kept.requests.filter(({ branch }) => branch === query.get('source_branch'));
    const isNewestFirst = query.get('order_by') === 'created_at' && query.get('sort') === 'desc';
    const all = query.get('state') === 'all' ? found : [];
    return { status: 200, body: (isNewestFirst ? all.toReversed() : all).map(asGitlab) };
  }
  if (tail !== undefined)
    return changed(kept, Number(tail), asked.description, asked.title, asGitlab);
  const { source_branch: branch, target_branch: target, title, description } = asked;
  if (!hasBranch(kept, branch)) return said(400, { source_branch: ['does not exist'] });
  const open = openOf(kept, branch, target);
  if (open !== undefined) {
    return said(409, [
      `Another open merge request already exists for this source branch: !${open.number}`,
    ]);
  }
  return made(kept, { branch, target, title, text: description }, asGitlab);
}

function asGitlab({ number, branch, target, title, text, state, isForks }: KeptRequest) {
  const states = { open: 'opened', merging: 'locked', merged: 'merged', closed: 'closed' };
  return {
    ...{ id: 1000 + number, iid: number, title, description: text, state: states[state] },
    ...{ source_branch: branch, target_branch: target, target_project_id: 1 },
    source_project_id: isForks ? 2 : 1,
    web_url: `https://gitlab.example.com/acme/platform/-/merge_requests/${number}`,
    closed_by: state === 'closed' ? { username: 'grace' } : null,
    merge_user: state === 'merged' ? { username: 'grace' } : null,
  };
}

function githubAnswer({ path, headers, body }: Received, kept: Kept): StandInAnswer {
  if (headers['user-agent'] === undefined) return said(403, 'Request forbidden');
  if (headers.authorization !== `Bearer ${requestToken}`) return said(401, 'Bad credentials');
  const { pathname, searchParams: query } = new URL(path, 'http://forge');
  const [, project, tail] = /^\/repos\/(.+)\/pulls(?:\/(\d+))?$/.exec(pathname) ?? [];
  if (project !== 'acme/platform') return said(404, 'Not Found');
  const asked = body === '' ? undefined : JSON.parse(body);
  if (asked === undefined) {
    const found = kept.requests.filter(({ branch }) => `acme:${branch}` === query.get('head'));
    const isNewestFirst = query.get('sort') === 'created' && query.get('direction') === 'desc';
    const all =
      query.get('state') === 'all' ? found : found.filter(({ state }) => state === 'open');
    return { status: 200, body: (isNewestFirst ? all.toReversed() : all).map(asGithub) };
  }
  if (tail !== undefined) return changed(kept, Number(tail), asked.body, asked.title, asGithub);
  const { head: branch, base: target, title, body: text } = asked;
  const invalid = (message: string) => ({
    status: 422,
    body: { message: 'Validation Failed', errors: [{ resource: 'PullRequest', message }] },
  });
  if (!hasBranch(kept, branch)) return invalid('head is invalid');
  if (openOf(kept, branch, target))
    return invalid(`A pull request already exists for acme:${branch}.`);
  return made(kept, { branch, target, title, text }, asGithub);
}

function asGithub({ number, branch, target, title, text, state, isForks }: KeptRequest) {
  return {
    ...{ id: 1000 + number, number, title, body: text },
    state: state === 'open' ? 'open' : 'closed',
    merged_at: state === 'merged' ? '2026-11-25T12:00:00Z' : null,
    html_url: `https://github.example.com/acme/platform/pull/${number}`,
    head: {
      ref: branch,
      repo: isForks ? { full_name: 'acme/fork' } : { full_name: 'acme/platform' },
    },
    base: { ref: target },
  };
}

function hasBranch({ bare }: Kept, branch: string): boolean {
  return existsSync(join(bare, 'refs/heads', branch));
}

function openOf({ requests }: Kept, branch: string, target: string): KeptRequest | undefined {
  return requests.find(
    (each) =>
      each.branch === branch && each.target === target && each.state === 'open' && !each.isForks,
  );
}

function made(
  { requests, changes }: Kept,
  request: Pick<KeptRequest, 'branch' | 'target' | 'title' | 'text'>,
  show: (request: KeptRequest) => unknown,
): StandInAnswer {
  const kept: KeptRequest = { ...request, number: requests.length + 1, state: 'open' };
  requests.push(kept);
  changes.push('POST');
  return { status: 201, body: show(kept) };
}

function changed(
  { requests, changes }: Kept,
  number: number,
  text: string | undefined,
  title: string | undefined,
  show: (request: KeptRequest) => unknown,
): StandInAnswer {
  const found = requests.find((each) => each.number === number);
  if (found === undefined) return said(404, 'Not Found');
  if (text !== undefined) found.text = text;
  if (title !== undefined) found.title = title;
  changes.push(`PUT ${number}`);
  return { status: 200, body: show(found) };
}
