import type { TestContext } from 'node:test';
import { type Received, type StandIn, type StandInAnswer, standIn } from './stand-in.ts';

export const forgeToken = 'forge-token-0123456789';

/** A status as a forge keeps it. */
export interface KeptStatus {
  readonly sha: string;
  readonly name: string;
  readonly description: string;
  readonly ref: string | undefined;
  state: string;
}

export interface Forge extends StandIn {
  /** The project's URL in the API. */
  readonly project: string;
  readonly statuses: KeptStatus[];
}

/** Whether a forge has a commit. */
type HasCommit = (sha: string) => boolean;

/**
 * GitLab, as far as `POST /projects/:id/statuses/:sha` goes: docs.gitlab.com, Commits API, "Set the
 * pipeline status of a commit". A status that is pending or running is updated, any other is followed by
 * a new one; the same transition again is refused with 400.
 */
export async function serveGitlab(
  t: TestContext,
  hasCommit: HasCommit = () => true,
): Promise<Forge> {
  const statuses: KeptStatus[] = [];
  const served = await standIn(t, (request) => gitlabAnswer(request, statuses, hasCommit));
  return { ...served, statuses, project: `${served.url}/api/v4/projects/acme%2Fplatform` };
}

function gitlabAnswer(
  { path, headers, body }: Received,
  statuses: KeptStatus[],
  hasCommit: HasCommit,
): StandInAnswer {
  const said = (status: number, message: unknown) => ({ status, body: { message } });
  if (headers['private-token'] !== forgeToken) return said(401, '401 Unauthorized');
  const [, project, sha = ''] =
    /^\/api\/v4\/projects\/([^/]+)\/statuses\/([^/]+)$/.exec(path) ?? [];
  if (project !== 'acme%2Fplatform' && project !== '42') return said(404, '404 Project Not Found');
  const { state, name = 'default', description = '', ref } = JSON.parse(body);
  if (!['pending', 'running', 'success', 'failed', 'canceled', 'skipped'].includes(state)) {
    return { status: 400, body: { error: 'state does not have a valid value' } };
  }
  if (!hasCommit(sha)) return said(404, '404 Commit Not Found');
  if (description.length > 255) {
    return said(400, { description: ['is too long (maximum is 255 characters)'] });
  }
  const open = statuses.findLast(
    (kept) => kept.sha === sha && kept.name === name && ['pending', 'running'].includes(kept.state),
  );
  if (open !== undefined && open.state === state) {
    const event = state === 'running' ? 'run' : 'enqueue';
    return said(
      400,
      `Cannot transition status via :${event} from :${state} (Reason(s): Status cannot transition via "${event}")`,
    );
  }
  if (open !== undefined) statuses.splice(statuses.indexOf(open), 1);
  statuses.push({ sha, name, description, ref, state });
  return { status: 201, body: { sha, name, description, ref, status: state } };
}

/**
 * GitHub, as far as `POST /repos/{owner}/{repo}/statuses/{sha}` goes: docs.github.com, REST API, "Create
 * a commit status". Every status is kept; the newest of a context counts.
 */
export async function serveGithub(
  t: TestContext,
  hasCommit: HasCommit = () => true,
): Promise<Forge> {
  const statuses: KeptStatus[] = [];
  const served = await standIn(t, (request) => githubAnswer(request, statuses, hasCommit));
  return { ...served, statuses, project: `${served.url}/repos/acme/platform` };
}

function githubAnswer(
  { path, headers, body }: Received,
  statuses: KeptStatus[],
  hasCommit: HasCommit,
): StandInAnswer {
  const said = (status: number, message: string) => ({ status, body: { message } });
  if (headers['user-agent'] === undefined)
    return said(403, 'Request forbidden by administrative rules.');
  if (headers.authorization !== `Bearer ${forgeToken}`) return said(401, 'Bad credentials');
  const sha = /^\/repos\/acme\/platform\/statuses\/([^/]+)$/.exec(path)?.[1];
  if (sha === undefined) return said(404, 'Not Found');
  const { state, context = 'default', description = '' } = JSON.parse(body);
  const isValid =
    ['error', 'failure', 'pending', 'success'].includes(state) && description.length <= 140;
  if (!isValid) return said(422, 'Validation Failed');
  if (!hasCommit(sha)) return said(422, `No commit found for SHA: ${sha}`);
  statuses.push({ sha, name: context, description, ref: undefined, state });
  return { status: 201, body: { state, context, description } };
}
