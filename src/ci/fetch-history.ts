import { environmentFailed, type RinglockError } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { redactLine, redactUrl } from '../redaction.ts';

/** A remote that history is fetched from. */
export interface HistoryRemote {
  readonly name: string;
  /** For display. */
  readonly url: string;
}

/** The remote to ask: the named one, else `origin`, else the only one; undefined where there is none. */
export async function findRemote(
  { topLevel }: GitRepository,
  name: string | undefined,
): Promise<HistoryRemote | undefined> {
  const names = (await runGit(topLevel, ['remote'])).split('\n').filter(Boolean);
  const wanted = name ?? (names.includes('origin') ? 'origin' : names[0]);
  if (wanted === undefined) return undefined;
  const { status, stdout } = await tryGit(topLevel, ['remote', 'get-url', '--', wanted]);
  if (status !== 0) {
    throw environmentFailed('no-remote', `this repository has no remote ${wanted}`, {
      hint: `Remotes there: ${names.join(', ') || 'none'}.`,
    });
  }
  return { name: wanted, url: redactUrl(stdout.toString().trim()) };
}

/** A branch of a remote, as it is now. */
export interface RemoteBranch {
  readonly branch: string;
  /** Where it is kept here: `refs/remotes/origin/main`. */
  readonly ref: string;
  readonly oid: string;
}

/**
 * The named branches that a remote has, where they are now: one ls-remote, and nothing is fetched.
 *
 * @throws RinglockError `fetch-failed`
 */
export async function listBranches(
  repository: GitRepository,
  remote: HistoryRemote,
  branches: readonly string[],
): Promise<RemoteBranch[]> {
  const heads = branches.map((branch) => `refs/heads/${branch}`);
  const args = ['ls-remote', '--quiet', '--', remote.name, ...heads];
  const lines = (await fetching(repository, remote, args)).split('\n');
  return branches.flatMap((branch) => {
    const oid = lines.find((line) => line.endsWith(`\trefs/heads/${branch}`))?.split('\t')[0];
    return oid === undefined ? [] : [{ branch, ref: `refs/remotes/${remote.name}/${branch}`, oid }];
  });
}

/**
 * Brings branches as the remote has them, with their whole history and that of the commit that is
 * checked, and all tags; a tag that stands elsewhere here is left.
 *
 * @throws RinglockError `fetch-failed`
 */
export async function fetchWholeHistory(
  repository: GitRepository,
  remote: HistoryRemote,
  branches: readonly RemoteBranch[],
  head: string,
): Promise<void> {
  const shallow = await isShallow(repository);
  // The commit itself too: a forge's merge commit is on no branch.
  const [depth, tip] = shallow ? [['--unshallow'], [head]] : [[], []];
  const tags = 'refs/tags/*:refs/tags/*';
  const wants = [...branches.map(refspec), ...tip, tags];
  await fetching(repository, remote, [...fetch, ...depth, '--', remote.name, ...wants]);
}

/** Commits from each tip; then all of them. */
const depths = [50, 500, 5000];

/**
 * Brings branches as the remote has them, and of a shallow clone as much of history as it takes until
 * something is there.
 *
 * @param isThere asked after each step
 * @throws RinglockError `fetch-failed`
 */
export async function fetchUntil(
  repository: GitRepository,
  remote: HistoryRemote,
  branches: readonly RemoteBranch[],
  head: string,
  isThere: () => Promise<boolean>,
): Promise<void> {
  const specs = branches.map(refspec);
  const start = [...fetch, '--no-tags'];
  if (!(await isShallow(repository))) {
    await fetching(repository, remote, [...start, '--', remote.name, ...specs]);
    return;
  }
  for (const depth of [...depths.map((each) => `--depth=${each}`), '--unshallow']) {
    await fetching(repository, remote, [...start, depth, '--', remote.name, ...specs, head]);
    if ((await isThere()) || !(await isShallow(repository))) return;
  }
}

/**
 * A commit that a clone did not bring along, by a ref of the remote or by its id.
 *
 * @throws RinglockError `fetch-failed`
 */
export async function fetchCommit(
  repository: GitRepository,
  remote: HistoryRemote,
  wanted: string,
): Promise<void> {
  const depth = (await isShallow(repository)) ? ['--depth=50'] : [];
  await fetching(repository, remote, [...fetch, '--no-tags', ...depth, '--', remote.name, wanted]);
}

export async function isShallow({ topLevel }: GitRepository): Promise<boolean> {
  return (await runGit(topLevel, ['rev-parse', '--is-shallow-repository'])) === 'true';
}

function refspec({ branch, ref }: RemoteBranch): string {
  return `+refs/heads/${branch}:${ref}`;
}

/** Not --quiet, which leaves out why a tag was not taken. */
const fetch = ['fetch', '--no-recurse-submodules', '--no-write-fetch-head'];

async function fetching(
  { topLevel }: GitRepository,
  remote: HistoryRemote,
  args: readonly string[],
): Promise<string> {
  const env = {
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: process.env['GIT_SSH_COMMAND'] || 'ssh -o BatchMode=yes',
  };
  const outcome = await tryGit(topLevel, args, { env });
  if (outcome.status === 0 || isTagAlone(outcome.stderr)) return outcome.stdout.toString();
  throw fetchFailed(remote, outcome.stderr || `git ended with ${outcome.status}`);
}

/** Every line that git complains with is about a tag that stands elsewhere here: that one is left. */
function isTagAlone(stderr: string): boolean {
  const lines = stderr.split('\n').filter((line) => /^ ! /.test(line));
  const isFatal = /^(fatal|error):/m.test(stderr);
  return lines.length > 0 && !isFatal && lines.every((line) => /would clobber/.test(line));
}

function fetchFailed({ name, url }: HistoryRemote, said: string): RinglockError {
  return environmentFailed(
    'fetch-failed',
    `${name} (${url}) cannot be read: ${redactLine(said, 600)}`,
    {
      hint: 'The check needs the target branch as it is now, and its history. Let the job fetch (in a GitHub workflow leave persist-credentials of actions/checkout on), or bring all of it with the clone and pass --offline: in GitLab CI `GIT_DEPTH: 0`, in a GitHub workflow `fetch-depth: 0`.',
    },
  );
}
