import { badInput, environmentFailed, refused } from '../errors.ts';
import { type GitRepository, runGit, runGitBytes, tryGit } from '../git/git-command.ts';
import { readManifestFiles, requireLock, requireRing } from '../git/manifest-files.ts';
import { parseSignedTag } from '../git/signatures/signed-tag.ts';
import { redactLine } from '../redaction.ts';
import { approvalLine, approvalTag } from '../repo/approval-text.ts';
import { ringFile } from '../repo/names.ts';
import { findWanted } from './decide-promotion.ts';

/** An approval that was made as a tag. */
export interface MadeApproval {
  readonly ring: string;
  readonly alias: string;
  readonly version: string;
  readonly sha256: string;
  readonly tag: string;
  /** The command that brings it to where others look. */
  readonly push: string;
}

/**
 * Approves a version for a ring: a tag signed as the person's git is set up to sign (`gpg.format`,
 * `user.signingKey`), whose text names the bytes that the ring before pins.
 *
 * @param name `orders@1.1.0`; `orders` is the version that the ring before has now
 * @throws RinglockError `unknown-ring`, `not-promotable`, `unknown-module`, `unknown-version`,
 *   `already-approved`, `not-signed`
 */
export async function approveVersion(
  repository: GitRepository,
  name: string,
  ringName: string,
  reason: string | undefined,
): Promise<MadeApproval> {
  const files = await readManifestFiles(repository);
  const ring = requireRing(files, ringName);
  const { promotesFrom } = ring;
  if (promotesFrom === undefined) {
    throw refused('not-promotable', `${ringFile(ringName)} promotes from no ring`, {
      hint: 'Approve for the ring that a version is to be promoted to.',
    });
  }
  const from = requireLock(files, promotesFrom).lock;
  const [[alias, { version, sha256 }] = noModule(name)] = await findWanted(repository, from, [
    name,
  ]);
  const approval = { ring: ringName, alias, version, sha256 };
  const tag = approvalTag(ringName, alias, version, await ownEmail(repository));
  const why = reason === undefined ? [] : ['', reason];
  const message = [
    `Approve ${alias} ${version} for ${ringName}`,
    ...why,
    '',
    approvalLine(approval),
    '',
  ].join('\n');
  await makeTag(repository, tag, message);
  return { ...approval, tag, push: `git push origin refs/tags/${tag}` };
}

function noModule(name: string): never {
  throw badInput('modules-not-given', `${JSON.stringify(name)} names no module`);
}

async function ownEmail({ topLevel }: GitRepository): Promise<string> {
  const { status, stdout, stderr } = await tryGit(topLevel, ['var', 'GIT_COMMITTER_IDENT']);
  const [, email] = /<([^<>]*)> \d+ [+-]\d{4}/.exec(stdout.toString()) ?? [];
  if (status === 0 && email !== undefined) return email;
  throw environmentFailed('no-identity', `git knows no address of yours: ${redactLine(stderr)}`, {
    hint: 'git config user.email you@example.com',
  });
}

async function makeTag({ topLevel }: GitRepository, tag: string, message: string): Promise<void> {
  const ref = `refs/tags/${tag}`;
  const known = await tryGit(topLevel, ['rev-parse', '--verify', '--quiet', ref]);
  if (known.status === 0) {
    throw refused('already-approved', `the tag ${tag} is there already`, {
      hint: `Push it: git push origin ${ref}; or take it back first: git tag -d ${tag}`,
    });
  }
  // What may look like a comment or a trailer to git stays as it is.
  const made = await tryGit(topLevel, ['tag', '-s', '--cleanup=verbatim', '-F', '-', tag], {
    input: message,
  });
  if (made.status !== 0) {
    throw environmentFailed('not-signed', `git could not sign: ${redactLine(made.stderr)}`, {
      hint: 'Set up a key, for example: git config gpg.format ssh && git config user.signingKey ~/.ssh/id_ed25519',
    });
  }
  const content = await runGitBytes(topLevel, ['cat-file', 'tag', ref]);
  if (parseSignedTag(content).signature !== undefined) return;
  await runGit(topLevel, ['tag', '-d', tag]);
  throw environmentFailed('not-signed', 'git made a tag without a signature');
}
