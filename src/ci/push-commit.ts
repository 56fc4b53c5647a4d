import { readSecret } from '../environment.ts';
import { environmentFailed } from '../errors.ts';
import { parseRemoteAddress } from '../git/credentials.ts';
import { type GitOutcome, type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { redactLine } from '../redaction.ts';
import { openGitTrust } from '../release/git-trust.ts';
import { mirrorEnvironment } from '../release/mirror-address.ts';
import type { CiRange } from './ci-range.ts';
import { type HistoryRemote, listBranches } from './fetch-history.ts';
import { shellWord } from './printable.ts';

/**
 * Pushes a commit to a branch of the remote, only forward.
 *
 * @param former where the branch was when the commit was made
 * @returns false when somebody else has moved the branch meanwhile
 * @throws RinglockError `push-refused`
 */
export async function pushCommit(
  repository: GitRepository,
  remote: HistoryRemote,
  commit: string,
  branch: string,
  former: string,
  environment: NodeJS.ProcessEnv,
): Promise<boolean> {
  const { hasToken, outcome } = await push(
    repository,
    remote,
    `${commit}:refs/heads/${branch}`,
    environment,
  );
  const { status, stderr } = outcome;
  if (status === 0) return true;
  // Servers have several words for it; that the branch is elsewhere now says it all.
  const [there] = await listBranches(repository, remote, [branch]);
  if (there?.oid !== former) return false;
  throw environmentFailed(
    'push-refused',
    `${remote.url} does not take the push to ${branch}: ${redactLine(stderr, 600)}`,
    {
      hint: hasToken
        ? 'The token of RINGLOCK_PUSH_TOKEN needs the right to write (write_repository at GitLab, contents: write at GitHub), and a protected branch has to let it push.'
        : "The job's own credentials may not write: set RINGLOCK_PUSH_TOKEN or RINGLOCK_PUSH_TOKEN_FILE (write_repository at GitLab, contents: write at GitHub), and let it push to a protected branch.",
    },
  );
}

/** The command with which somebody pushes what is checked out to the branch that is checked. */
export function pushCommand({ remote, branch }: Pick<CiRange, 'remote' | 'branch'>): string {
  const to = branch === undefined ? '' : `:${shellWord(branch)}`;
  return `git push ${shellWord(remote?.name ?? 'origin')} HEAD${to}`;
}

/** A token goes to the remote's own address alone, in a variable that git alone reads. */
async function push(
  repository: GitRepository,
  { name }: HistoryRemote,
  refspec: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly hasToken: boolean; readonly outcome: GitOutcome }> {
  const { topLevel } = repository;
  const url = await runGit(topLevel, ['remote', 'get-url', '--push', '--', name]);
  const isHttp = /^https?:\/\//i.test(url);
  const token = await readSecret('RINGLOCK_PUSH_TOKEN', environment);
  const hasToken = token !== undefined && isHttp;
  const address = hasToken ? parseRemoteAddress(url).url.href : name;
  const how = ['--quiet', '--no-verify', '--no-follow-tags', '--no-signed'];
  const trust = await openGitTrust(repository, environment);
  try {
    const place = { url: address, isHttp: hasToken };
    const env = mirrorEnvironment(place, token, environment, trust.variables);
    const outcome = await tryGit(topLevel, ['push', ...how, '--', address, refspec], { env });
    return { hasToken, outcome };
  } finally {
    await trust.close();
  }
}
