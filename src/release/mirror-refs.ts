import { environmentFailed, type RinglockError } from '../errors.ts';
import { type GitOutcome, type GitRepository, tryGit } from '../git/git-command.ts';
import { redactLine } from '../redaction.ts';
import type { MirrorAddress } from './mirror-address.ts';

/** A mirror as git reaches it. */
export interface MirrorAccess {
  readonly repository: GitRepository;
  readonly address: MirrorAddress;
  readonly env: Readonly<Record<string, string>>;
  readonly hasToken: boolean;
}

/**
 * The commits that a mirror's branches and tags point to, by full name; an annotated tag's is what it
 * points to.
 *
 * @throws RinglockError `mirror-unauthorized`, `mirror-unreachable`
 */
export async function listMirrorRefs(access: MirrorAccess): Promise<Map<string, string>> {
  const args = ['ls-remote', '--quiet', '--', access.address.url, 'refs/heads/*', 'refs/tags/*'];
  const output = await gitOrThrow(access, args);
  const refs = new Map<string, string>();
  for (const line of output.toString().split('\n').filter(Boolean)) {
    const [oid = '', name = ''] = line.split('\t');
    // The line of what a tag points to comes after the tag's own.
    refs.set(name.replace(/\^\{\}$/, ''), oid);
  }
  return refs;
}

/** Brings a commit of the mirror's branch, to see how it stands to ours; no ref is written. */
export async function fetchMirrorCommit(access: MirrorAccess, ref: string): Promise<void> {
  const quiet = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules'];
  await gitOrThrow(access, ['fetch', ...quiet, '--', access.address.url, ref]);
}

export interface MirrorPush {
  /** Full name of the ref. */
  readonly ref: string;
  readonly commit: string;
  /** Where it has to be still, when the push happens; undefined: it must not exist. */
  readonly former: string | undefined;
}

/**
 * Pushes refs, all or none, and only where nobody was quicker.
 *
 * @throws RinglockError `mirror-rejected`, `mirror-unauthorized`, `mirror-unreachable`
 */
export async function pushToMirror(
  access: MirrorAccess,
  pushes: readonly MirrorPush[],
): Promise<void> {
  const leases = pushes.map(({ ref, former }) => `--force-with-lease=${ref}:${former ?? ''}`);
  const refs = pushes.map(({ ref, commit }) => `${commit}:${ref}`);
  const how = ['--quiet', '--no-verify', '--atomic', '--no-follow-tags', '--no-signed'];
  await gitOrThrow(access, ['push', ...how, ...leases, '--', access.address.url, ...refs]);
}

async function gitOrThrow(access: MirrorAccess, args: readonly string[]): Promise<Buffer> {
  const { repository, env } = access;
  const outcome = await tryGit(repository.topLevel, args, { env });
  if (outcome.status === 0) return outcome.stdout;
  throw mirrorFailure(access, outcome);
}

function mirrorFailure(
  { address, hasToken }: MirrorAccess,
  { stderr, status }: GitOutcome,
): RinglockError {
  const said = redactLine(stderr || `git ended with ${status}`, 600);
  if (/rejected|stale info|non-fast-forward|hook declined/.test(stderr)) {
    return environmentFailed('mirror-rejected', `${address.url} refused the push: ${said}`, {
      hint: 'Somebody may have pushed meanwhile: run it again. A branch or tags that are protected must allow the token, and force-push where history diverged.',
    });
  }
  if (
    /\b(401|403)\b|Authentication failed|could not read (Username|Password)|Permission denied/i.test(
      stderr,
    )
  ) {
    const token = hasToken
      ? 'The token of MIRROR_PUSH_TOKEN is wrong, expired, or has no right to write: it needs the scope write_repository (GitLab) or contents: write (GitHub).'
      : 'Set MIRROR_PUSH_TOKEN or MIRROR_PUSH_TOKEN_FILE to a token that may write: scope write_repository (GitLab) or contents: write (GitHub).';
    return environmentFailed(
      'mirror-unauthorized',
      `${address.url} lets nobody in like that: ${said}`,
      {
        hint: address.isHttp ? token : 'See that the SSH key may write there.',
      },
    );
  }
  return environmentFailed('mirror-unreachable', `${address.url} cannot be used: ${said}`, {
    hint: 'See that the repository exists there and is the address it has now: redirections are not followed.',
  });
}
