import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { badInput } from '../errors.ts';
import { isInside } from '../store/path-inside.ts';
import type { SigningOptions } from './signed-history.ts';

/** Where the pod's flags say that the keys of those who may deploy lie. */
export interface SigningFlags {
  /** RINGLOCK_ALLOWED_SIGNERS_FILE when undefined. */
  readonly allowedSigners?: string | undefined;
  /** A file or a directory; RINGLOCK_GPG_KEYS when undefined. */
  readonly gpgKeys?: string | undefined;
  /** RINGLOCK_REVOKED_KEYS_FILE when undefined. */
  readonly revokedKeys?: string | undefined;
  /** Full ids of commits that pass without a good signature. */
  readonly trustCommits?: readonly string[];
}

interface SigningPlace {
  readonly workingDirectory: string;
  readonly root: string;
  /** URLs, or paths. */
  readonly repositories: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * Signatures are asked for as soon as keys are given. The files are read when there is something to verify:
 * a mount that is away must not take down what serves.
 *
 * @returns undefined when no keys are given
 * @throws RinglockError `signers-not-given`, `signers-in-repository`, `invalid-commit-id`
 */
export async function readSigningOptions(
  flags: SigningFlags,
  place: SigningPlace,
): Promise<SigningOptions | undefined> {
  const { environment, workingDirectory } = place;
  const path = (flag: string | undefined, variable: string) => {
    const given = flag ?? (environment[variable] || undefined);
    return given === undefined ? undefined : resolve(workingDirectory, given);
  };
  const files = {
    allowedSigners: path(flags.allowedSigners, 'RINGLOCK_ALLOWED_SIGNERS_FILE'),
    gpgKeys: path(flags.gpgKeys, 'RINGLOCK_GPG_KEYS'),
    revokedKeys: path(flags.revokedKeys, 'RINGLOCK_REVOKED_KEYS_FILE'),
  };
  const trustCommits = flags.trustCommits ?? [];
  if (files.allowedSigners === undefined && files.gpgKeys === undefined) {
    refuseUnused(files.revokedKeys, trustCommits);
    return undefined;
  }
  for (const file of Object.values(files)) if (file !== undefined) await refuseOwn(file, place);
  return { files, trustedCommits: new Set(trustCommits.map(requireCommitId)) };
}

function refuseUnused(revokedKeys: string | undefined, trustCommits: readonly string[]): void {
  if (revokedKeys === undefined && trustCommits.length === 0) return;
  const flag = revokedKeys === undefined ? '--trust-commit' : '--revoked-keys';
  throw badInput('signers-not-given', `${flag} is given, and no key that may sign`, {
    hint: 'Signatures are verified with --allowed-signers FILE, --gpg-keys PATH, or both.',
  });
}

/** Keys that come with what they are to vouch for vouch for nothing. */
async function refuseOwn(file: string, { root, repositories, workingDirectory }: SigningPlace) {
  const paths = repositories.filter((text) => !/^[a-z][a-z0-9+.-]*:\/\//i.test(text));
  const own = [root, ...paths].map((path) => resolve(workingDirectory, path));
  const real = await realOf(file);
  for (const directory of own) {
    if (!isInside(real, await realOf(directory))) continue;
    throw badInput(
      'signers-in-repository',
      `${file} lies in ${directory}: keys come from a mount, never from what they vouch for`,
    );
  }
}

/** A path that is not there yet is what it says. */
function realOf(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

function requireCommitId(text: string): string {
  if (/^[0-9a-f]{40}$/.test(text)) return text;
  throw badInput('invalid-commit-id', `--trust-commit is ${JSON.stringify(text)}`, {
    hint: 'Give the full id, 40 hex digits: git rev-parse COMMIT',
  });
}
