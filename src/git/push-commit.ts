import { environmentFailed, type RinglockError, refused } from '../errors.ts';
import { redact, redactLine } from '../redaction.ts';
import { type GitOutcome, type GitRepository, runGit, tryGit } from './git-command.ts';

/** What became of a push: `raced`: somebody else was there first. */
export type PushOutcome = 'pushed' | 'raced';

/**
 * Pushes a commit to a branch, never by force.
 *
 * @throws RinglockError `push-refused` when the server takes it from nobody like this, `push-failed`
 */
export async function pushCommit(
  repository: GitRepository,
  remote: string,
  commit: string,
  branch: string,
): Promise<PushOutcome> {
  const outcome = await tryGit(repository.topLevel, [
    ...['push', '--porcelain', '--no-follow-tags', remote],
    `${commit}:refs/heads/${branch}`,
  ]);
  if (outcome.status === 0) return 'pushed';
  const reason = /^!\t[^\t]*\t(.*)$/m.exec(outcome.stdout.toString())?.[1];
  if (reason !== undefined && isRace(reason, outcome.stderr)) return 'raced';
  throw pushError(remote, branch, reason, outcome);
}

/**
 * Brings branches of a remote, and whatever stands below a folder of its tags into a folder of our own, so
 * that what was deleted there is gone here too, and nobody's own tags are touched.
 *
 * @throws RinglockError `fetch-failed`
 */
export async function fetchBranches(
  { topLevel }: GitRepository,
  remote: string,
  branches: readonly string[],
  tags: { readonly folder: string; readonly into: string },
): Promise<void> {
  const outcome = await tryGit(topLevel, [
    ...['fetch', '--quiet', '--prune', remote],
    ...branches.map((branch) => `+refs/heads/${branch}:refs/remotes/${remote}/${branch}`),
    `+refs/tags/${tags.folder}/*:${tags.into}/*`,
  ]);
  if (outcome.status === 0) return;
  throw environmentFailed(
    'fetch-failed',
    `${branches.join(', ')} of ${remote} cannot be fetched: ${redactLine(outcome.stderr)}`,
  );
}

/** `origin`, or the first remote there is; undefined where there is none. */
export async function defaultRemote({ topLevel }: GitRepository): Promise<string | undefined> {
  const remotes = (await runGit(topLevel, ['remote'])).split('\n').filter(Boolean);
  return remotes.includes('origin') ? 'origin' : remotes[0];
}

/** As git says it of a branch that moved before the push, or while it was under way. */
function isRace(reason: string, stderr: string): boolean {
  return (
    /^\[rejected\] \((fetch first|non-fast-forward|stale info)\)/.test(reason) ||
    (/^\[remote rejected\]/.test(reason) &&
      /cannot lock ref|failed to update ref|incorrect old value|reference already exists/i.test(
        `${reason}\n${stderr}`,
      ))
  );
}

function pushError(
  remote: string,
  branch: string,
  reason: string | undefined,
  { stderr }: GitOutcome,
): RinglockError {
  const said = redact(stderr).trim().slice(0, 2000);
  if (reason === undefined) {
    return environmentFailed('push-failed', `${branch} of ${remote} cannot be pushed to: ${said}`);
  }
  return refused(
    'push-refused',
    `${remote} does not take the push to ${branch}: ${reason}\n${said}`,
    {
      hint: 'Let this identity push to the branch, or promote through a merge request.',
    },
  );
}
