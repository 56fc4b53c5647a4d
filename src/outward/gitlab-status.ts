import { commitState, describeState, statusContext, statusTokenName } from './commit-status.ts';
import { judgeByStatus } from './judge-answer.ts';
import type { Receiver } from './receiver.ts';

/** GitLab's words (Commits API, "Set the pipeline status of a commit"). */
const states = { running: 'running', success: 'success', failure: 'failed', error: 'failed' };

/** `ref` has to be said: without it GitLab takes the first branch that it finds the commit on. */
const longestRef = 255;
const longestDescription = 255;

/**
 * Statuses of GitLab commits.
 *
 * @param project URL of the project in the API: `https://gitlab.example.com/api/v4/projects/42`
 * @param token read at every request
 */
export function gitlabStatus(
  project: URL,
  token: () => Promise<string>,
): Omit<Receiver, 'id' | 'display' | 'isLastWord'> {
  return {
    wants: (message) => commitState(message) !== undefined,
    request: async (message) => {
      const { commit, branch, ring } = message.data;
      const secret = await token();
      return {
        url: `${project.href}/statuses/${commit}`,
        headers: { 'content-type': 'application/json', 'private-token': secret },
        body: JSON.stringify({
          state: states[commitState(message) ?? 'running'],
          name: statusContext(ring),
          description: describeState(message, longestDescription),
          ...(branch.length <= longestRef && { ref: branch }),
        }),
        secrets: [secret],
      };
    },
    judge: (answer) => {
      // "Cannot transition status via :run from :running": what was to be said stands there already.
      const stands = answer.status === 400 && answer.text.includes('Cannot transition status');
      return stands ? { outcome: 'delivered' } : judgeByStatus(answer, hints);
    },
  };
}

const hints = {
  401: `GitLab does not know the token in ${statusTokenName}: has it expired?`,
  403: `The token in ${statusTokenName} needs the scope api and the role Developer (Maintainer where the branch is protected).`,
  404: `Check --commit-status-url, and that the token in ${statusTokenName} may see the project.`,
  other: 'GitLab says why; a newer commit gets its own status.',
};
