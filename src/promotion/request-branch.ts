import { environmentFailed, type RinglockError, refused } from '../errors.ts';
import { type GitOutcome, type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { redactLine } from '../redaction.ts';
import { remoteTags } from './approvals.ts';

/** The repository that requests are made in, as git reaches it. */
export interface RequestRemote {
  readonly repository: GitRepository;
  /** For git: the remote's name, or its URL without credentials. */
  readonly place: string;
  /** For messages. */
  readonly display: string;
  /** Where the token is, seen by git alone. */
  readonly env: Readonly<Record<string, string>>;
  /** What to do when the remote lets nobody in. */
  readonly hint: string;
}

/** The trailer by which a commit is known as ours. */
const requestTrailer = 'Ringlock-Promotion';

/** Where branches of the remote are, by name; one that is not there is left out. */
export async function readBranches(
  remote: RequestRemote,
  names: readonly string[],
): Promise<Map<string, string>> {
  const refs = names.map((name) => `refs/heads/${name}`);
  const output = await ask(remote, ['ls-remote', '--quiet', '--', remote.place, ...refs]);
  const found = new Map<string, string>();
  for (const line of output.split('\n').filter(Boolean)) {
    const [oid = '', ref = ''] = line.split('\t');
    // A pattern also fits the end of a longer name.
    if (refs.includes(ref)) found.set(ref.slice('refs/heads/'.length), oid);
  }
  return found;
}

/**
 * Brings commits that are not here, without a ref, and the tags by which people approve, as the remote has them,
 * into a folder of our own.
 */
export async function bringBranches(
  remote: RequestRemote,
  branches: ReadonlyMap<string, string>,
): Promise<void> {
  const entries = [...branches];
  const present = await objectsAt(
    remote.repository,
    entries.map(([, oid]) => `${oid}^{commit}`),
  );
  const missing = entries.flatMap(([name], index) =>
    present[index] === undefined ? [`refs/heads/${name}`] : [],
  );
  const tags = `+refs/tags/approve/*:${remoteTags}/approve/*`;
  const quiet = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules'];
  const how = ['fetch', ...quiet, '--no-auto-gc', '--prune'];
  await ask(remote, [...how, '--', remote.place, tags, ...missing]);
}

/** The id of each object by a name of it, as `<commit>:<path>`; undefined where it is not here. */
async function objectsAt(
  { topLevel }: GitRepository,
  names: readonly string[],
): Promise<(string | undefined)[]> {
  const args = ['cat-file', '--batch-check=%(objectname)'];
  const listed = await runGit(topLevel, args, { input: names.map((name) => `${name}\n`).join('') });
  return listed.split('\n').map((line) => (/^[0-9a-f]+$/.test(line) ? line : undefined));
}

/** The message with the trailer by which a commit is known as ours. */
export function withTrailer(
  { topLevel }: GitRepository,
  message: string,
  key: string,
): Promise<string> {
  // A line of dashes in a reason does not end the message.
  const args = ['interpret-trailers', '--no-divider', '--trailer', `${requestTrailer}: ${key}`];
  return runGit(topLevel, args, { input: `${message.trimEnd()}\n` });
}

/**
 * How a branch stands to a change of the target: `current` brings just that change; `outdated` is ours with
 * another; `foreign` has commits of somebody else, and another change.
 */
export interface BranchState {
  readonly state: 'current' | 'outdated' | 'foreign';
  /** Where the branch leaves the target. */
  readonly base: string;
  /** The newest commit of somebody else: its id and its author. */
  readonly foreign: string | undefined;
}

export async function branchState(
  repository: GitRepository,
  tip: string,
  branch: string,
  { path, text }: { readonly path: string; readonly text: string },
): Promise<BranchState> {
  const { topLevel } = repository;
  const mergeBase = await tryGit(topLevel, ['merge-base', tip, branch]);
  const base = mergeBase.status === 0 ? mergeBase.stdout.toString().trim() : '';
  const foreign = await foreignCommit(topLevel, tip, branch);
  const wanted = await runGit(topLevel, ['hash-object', '--stdin'], { input: text });
  const places = [branch, base, tip].map((commit) => `${commit}:${path}`);
  const [there, before, now] = await objectsAt(repository, places);
  const isCurrent = base !== '' && there === wanted && before === now;
  const state = isCurrent ? 'current' : foreign === undefined ? 'outdated' : 'foreign';
  return { state, base, foreign };
}

/** Merges, as a forge's button makes them, bring nothing of their own. */
async function foreignCommit(
  topLevel: string,
  tip: string,
  branch: string,
): Promise<string | undefined> {
  const format = `--format=%h by %an%x00%(trailers:key=${requestTrailer},valueonly,separator=%x2C)%x00`;
  const range = ['log', '-z', '--no-merges', '--max-count=100', format, branch, `^${tip}`];
  const fields = (await runGit(topLevel, [...range, '--'])).split('\0');
  for (let at = 0; at + 1 < fields.length; at += 3) {
    if (fields[at + 1] === '') return fields[at];
  }
  return undefined;
}

/**
 * Pushes a branch, only from where it was seen.
 *
 * @param former where it has to be still; undefined: it must not exist
 * @throws RinglockError `request-push-rejected`
 */
export async function pushBranch(
  remote: RequestRemote,
  branch: string,
  commit: string,
  former: string | undefined,
): Promise<void> {
  const ref = `refs/heads/${branch}`;
  // The forge's own pipeline checks the branch; hooks here would look at a work tree that is not it.
  const how = [
    '--quiet',
    '--no-verify',
    '--no-follow-tags',
    '--no-signed',
    '--recurse-submodules=no',
  ];
  const lease = `--force-with-lease=${ref}:${former ?? ''}`;
  await ask(remote, ['push', ...how, lease, '--', remote.place, `${commit}:${ref}`]);
}

async function ask(remote: RequestRemote, args: readonly string[]): Promise<string> {
  const outcome = await tryGit(remote.repository.topLevel, args, { env: remote.env });
  if (outcome.status === 0) return outcome.stdout.toString();
  throw remoteFailure(remote, outcome);
}

function remoteFailure(
  { display, hint }: RequestRemote,
  { stderr, status }: GitOutcome,
): RinglockError {
  const said = redactLine(stderr || `git ended with ${status}`, 600);
  if (/\[(remote )?rejected\]|stale info|non-fast-forward|hook declined/.test(stderr)) {
    return refused('request-push-rejected', `${display} refused the push: ${said}`, {
      hint: 'Branches ringlock/promote/* must not be protected from the token, and hooks have to take them.',
    });
  }
  const isDenied =
    /\b(401|403)\b|Authentication failed|could not read (Username|Password)|Permission denied/i;
  if (isDenied.test(stderr)) {
    return environmentFailed('request-remote-unauthorized', `${display} lets nobody in: ${said}`, {
      hint,
    });
  }
  return environmentFailed('request-remote-unreachable', `${display} cannot be used: ${said}`, {
    hint: 'See that the remote is the repository of the platform, and that it can be reached from here.',
  });
}
