import { commitState, describeState, statusContext, statusTokenName } from './commit-status.ts';
import { type Hints, judgeByStatus } from './judge-answer.ts';
import type { Answer, Receiver } from './receiver.ts';

/** GitHub's words (REST API, "Create a commit status"), which Gitea and Forgejo share. */
const states = { running: 'pending', success: 'success', failure: 'failure', error: 'error' };

const longestDescription = 140;

/** When a limit is hit and the answer does not say for how long: a minute at least. */
const limitedMs = 60_000;

/**
 * Statuses of GitHub, Gitea or Forgejo commits.
 *
 * @param repository its URL in the API: `https://api.github.com/repos/acme/platform`
 * @param token read at every request
 */
export function githubStatus(
  repository: URL,
  token: () => Promise<string>,
): Omit<Receiver, 'id' | 'display' | 'isLastWord'> {
  return {
    wants: (message) => commitState(message) !== undefined,
    request: async (message) => {
      const { commit, ring } = message.data;
      const secret = await token();
      return {
        url: `${repository.href}/statuses/${commit}`,
        headers: {
          'content-type': 'application/json',
          accept: 'application/vnd.github+json, application/json',
          'x-github-api-version': '2022-11-28',
          authorization: `Bearer ${secret}`,
        },
        body: JSON.stringify({
          state: states[commitState(message) ?? 'running'],
          context: statusContext(ring),
          description: describeState(message, longestDescription),
        }),
        secrets: [secret],
      };
    },
    judge: (answer) => {
      const afterMs = limitedFor(answer, Date.now());
      if (afterMs === undefined) return judgeByStatus(answer, hints);
      return { outcome: 'again', reason: `it limits requests (${answer.status})`, afterMs };
    },
  };
}

/** GitHub says 403 too when it limits ("Rate limits for the REST API"). */
function limitedFor({ status, headers, text }: Answer, now: number): number | undefined {
  const isExhausted = headers['x-ratelimit-remaining'] === '0';
  const isLimited = isExhausted || headers['retry-after'] !== undefined || /rate limit/i.test(text);
  if ((status !== 403 && status !== 429) || !isLimited) return undefined;
  const seconds = Number(headers['retry-after']);
  if (Number.isFinite(seconds)) return seconds * 1000;
  const reset = Number(headers['x-ratelimit-reset']) * 1000;
  return isExhausted && Number.isFinite(reset) ? Math.max(0, reset - now) : limitedMs;
}

const hints: Hints = {
  401: `The token in ${statusTokenName} is not known there: has it expired?`,
  403: `The token in ${statusTokenName} needs to write commit statuses (GitHub: "Commit statuses", read and write).`,
  404: `Check --commit-status-url, and that the token in ${statusTokenName} may write to the repository.`,
  other: 'The answer says why; a newer commit gets its own status.',
};
