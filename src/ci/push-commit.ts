import { readSecret } from '../environment.ts';
import { environmentFailed } from '../errors.ts';
import { parseRemoteAddress } from '../git/credentials.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { redactLine } from '../redaction.ts';
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
  const { address, env, hasToken } = await pushAccess(repository, remote, environment);
  const refspec = `${commit}:refs/heads/${branch}`;
  const how = ['--quiet', '--no-verify', '--no-follow-tags', '--no-signed'];
  const args = ['push', ...how, '--', address, refspec];
  const { status, stderr } = await tryGit(repository.topLevel, args, { env });
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

interface PushAccess {
  readonly address: string;
  readonly env: Readonly<Record<string, string>>;
  readonly hasToken: boolean;
}

/** A token goes to the remote's own address alone, in a variable that git alone reads. */
async function pushAccess(
  { topLevel }: GitRepository,
  { name }: HistoryRemote,
  environment: NodeJS.ProcessEnv,
): Promise<PushAccess> {
  const url = await runGit(topLevel, ['remote', 'get-url', '--push', '--', name]);
  const isHttp = /^https?:\/\//i.test(url);
  const token = await readSecret('RINGLOCK_PUSH_TOKEN', environment);
  const hasToken = token !== undefined && isHttp;
  const address = hasToken ? parseRemoteAddress(url).url.href : name;
  const env = mirrorEnvironment({ url: address, isHttp: hasToken }, token, environment);
  return { address, env, hasToken };
}
