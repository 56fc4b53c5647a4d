import { readSecret } from '../environment.ts';
import type { GitRepository } from '../git/git-command.ts';
import { readSigningOptions, type SigningFlags } from '../reconcile/signing-options.ts';
import type { GateSources } from './judge-pins.ts';

export interface GateFlags extends Omit<SigningFlags, 'trustCommits'> {
  /** DATABASE_URL or DATABASE_URL_FILE when undefined. */
  readonly databaseUrl?: string | undefined;
}

/**
 * Where the flags and the environment say that facts for gates come from. Keys that lie in the repository
 * are refused: they would vouch for themselves.
 *
 * @throws RinglockError `signers-in-repository`
 */
export async function openGateSources(
  { databaseUrl, ...signing }: GateFlags,
  repository: GitRepository,
  place: {
    readonly workingDirectory: string;
    readonly environment: NodeJS.ProcessEnv;
    readonly now: Date;
  },
): Promise<GateSources> {
  const { workingDirectory, environment, now } = place;
  const options = await readSigningOptions(signing, {
    ...{ workingDirectory, environment },
    ...{ root: repository.topLevel, repositories: [repository.topLevel] },
  });
  return {
    databaseUrl: async () => databaseUrl ?? (await readSecret('DATABASE_URL', environment)),
    signers: options?.files,
    ...{ environment, now },
  };
}
