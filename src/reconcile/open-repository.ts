import { resolve } from 'node:path';
import { readSecret } from '../environment.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import { isRemoteAddress, openRemote, type RemoteOptions } from '../git/open-remote.ts';
import type { FollowedRepository } from '../git/remote.ts';
import { repositoryList } from '../git/repository-list.ts';
import type { Turn } from '../source/module-source.ts';
import type { Log } from './log.ts';

export interface RepositoryOptions {
  /**
   * https or ssh URLs, `user@host:path`, or paths (relative ones in `workingDirectory`); the first is
   * preferred.
   */
  readonly repositories: readonly string[];
  /** Certificates trusted besides node's; RINGLOCK_CA_FILE when undefined. */
  readonly caFile: string | undefined;
  readonly idleTimeoutMs: number;
  /** RINGLOCK_SSH_KEY_FILE when undefined. */
  readonly sshKey?: string | undefined;
  /** RINGLOCK_KNOWN_HOSTS_FILE when undefined. */
  readonly knownHosts?: string | undefined;
  readonly workingDirectory: string;
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * The repository that the options name, by one URL or several. Nothing is asked of it yet.
 *
 * @throws RinglockError `insecure-url`, `unsupported-url`
 */
export function openRepository(
  options: RepositoryOptions,
  database: ObjectDatabase,
  log: Log,
  { turn, ...more }: Pick<RemoteOptions, 'signal' | 'traffic'> & { readonly turn: Turn },
): FollowedRepository {
  const { environment } = options;
  const common = remoteOptions(options, log);
  const urls = repositoryUrls(options);
  const remotes = urls.map((url, index) => {
    const names = tokenNames(urls, index);
    return openRemote(url, database, {
      token: () => firstSecret(names, environment),
      tokenSource: names.join(' or '),
      ...common,
      ...more,
      // With another one to ask, a busy server is not waited for.
      ...(urls.length > 1 && { retries: 0 }),
    });
  });
  return repositoryList(remotes, database, {
    onChange: (level, message) => log[level](message),
    turn,
  });
}

/** How any repository of this pod is reached, whatever its URL. */
export function remoteOptions(
  options: RepositoryOptions,
  log: Log,
): Pick<RemoteOptions, 'idleTimeoutMs' | 'environment' | 'caFile' | 'ssh'> {
  const { environment, idleTimeoutMs } = options;
  const ssh: RemoteOptions['ssh'] = {
    keyFile: fileOf(options, options.sshKey, 'RINGLOCK_SSH_KEY_FILE'),
    knownHostsFile: fileOf(options, options.knownHosts, 'RINGLOCK_KNOWN_HOSTS_FILE'),
    passphrase: () => readSecret('RINGLOCK_SSH_PASSPHRASE', environment),
    warn: log.warn,
  };
  return { idleTimeoutMs, environment, caFile: caFileOf(options), ssh };
}

/** Every URL of the repository; paths are absolute. */
function repositoryUrls({ repositories, workingDirectory }: RepositoryOptions): string[] {
  return repositories.map((repository) =>
    isRemoteAddress(repository) ? repository : resolve(workingDirectory, repository),
  );
}

/** The certificates that are trusted besides node's: for the repository, and for whoever is told. */
export function caFileOf(
  options: Pick<RepositoryOptions, 'caFile' | 'environment' | 'workingDirectory'>,
): string | undefined {
  return fileOf(options, options.caFile, 'RINGLOCK_CA_FILE');
}

function fileOf(
  { environment, workingDirectory }: Pick<RepositoryOptions, 'environment' | 'workingDirectory'>,
  flag: string | undefined,
  name: string,
): string | undefined {
  const path = flag ?? environment[name];
  return path === undefined || path === '' ? undefined : resolve(workingDirectory, path);
}

/** A token goes to the server it was given for: the n-th URL has one of its own, if it is on another. */
function tokenNames(urls: readonly string[], index: number): readonly string[] {
  const [first = ''] = urls;
  const isFirsts = index === 0 || originOf(urls[index] ?? '') === originOf(first);
  const own = index === 0 ? [] : [`RINGLOCK_GIT_TOKEN_${index + 1}`];
  return isFirsts ? [...own, 'RINGLOCK_GIT_TOKEN'] : own;
}

async function firstSecret(
  names: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  for (const name of names) {
    const secret = await readSecret(name, environment);
    if (secret !== undefined) return secret;
  }
  return undefined;
}

export function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}
