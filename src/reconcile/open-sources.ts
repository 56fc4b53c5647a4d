import { readSecret } from '../environment.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import { openRemote } from '../git/open-remote.ts';
import type { Remote, TaggedRemote } from '../git/remote.ts';
import { registerUrl } from '../redaction.ts';
import type { Limits } from '../repo/limits.ts';
import type { Settings } from '../repo/settings.ts';
import { allowPlaces } from '../source/allowed-places.ts';
import { artifactSource } from '../source/artifact/artifact-source.ts';
import { readUrl } from '../source/artifact/read-url.ts';
import { gitSource } from '../source/git-source.ts';
import { limitSources } from '../source/limited-source.ts';
import { mirrorSource, mirrorUrl } from '../source/mirror-source.ts';
import type { Turn } from '../source/module-source.ts';
import { objectSource } from '../source/object-source.ts';
import { openRegistries } from '../source/registry/open-registries.ts';
import { readFromRegistries } from '../source/registry/read-from-registries.ts';
import type { Registry } from '../source/registry/registry.ts';
import { takeTurns } from '../source/turn-source.ts';
import { Connections } from '../wire/connections.ts';
import type { Log } from './log.ts';
import { caFileOf, originOf, type RepositoryOptions, remoteOptions } from './open-repository.ts';
import type { ReconcilerParts } from './reconciler-parts.ts';

export interface SourceParts {
  readonly database: ObjectDatabase;
  readonly remote: Remote;
  /** Where packages lie while they are read. */
  readonly staging: string;
  readonly limits: Limits;
  /** Ends what is asked. */
  readonly signal: () => AbortSignal;
  readonly turn: Turn;
}

export interface OpenSources {
  readonly sourcesFor: ReconcilerParts['sourcesFor'];
  close(): Promise<void>;
}

/**
 * Where a pod has module bytes from, in the order of DESIGN section 4 (the store itself is asked first, by
 * whoever stages): the object database, the git server, the artifact, the mirror.
 */
export function openSources(
  options: RepositoryOptions,
  { database, remote, staging, limits, signal, turn }: SourceParts,
  log: Log,
): OpenSources {
  const { environment, idleTimeoutMs } = options;
  const registryUrl = environment['MODULE_REGISTRY_URL'] || undefined;
  registerUrl(registryUrl);
  const connections = new Connections({ idleTimeoutMs, caFile: caFileOf(options), environment });
  const token = () => readSecret('MODULE_REGISTRY_TOKEN', environment);
  const readAny = readUrl({ connections, idleTimeoutMs, registryUrl, token });
  const registryOptions = { connections, idleTimeoutMs, onlyBoundTokens: true };
  // Opened at a read: a registry that is named wrongly must not keep a pod from what git has.
  const readerOf =
    ({ registries }: Settings): Registry['read'] =>
    (artifact, until) => {
      const opened = openRegistries({ registries }, environment, registryOptions);
      return readFromRegistries(opened, readAny)(artifact, until);
    };
  const isAllowed = allowPlaces([
    ...(registryUrl === undefined ? [] : [registryUrl]),
    ...options.repositories,
    ...(environment['RINGLOCK_MODULE_PLACES'] ?? '').split(/\s+/),
  ]);
  const urlOf = (source: string) => mirrorUrl(source, registryUrl);
  const open = (url: string) => openMirror(url, options, database, log, { registryUrl, signal });
  return {
    sourcesFor: (settings, have) => {
      const { maxFiles } = settings;
      const readArtifact = readerOf(settings);
      const sources = [
        objectSource(database, maxFiles),
        gitSource(remote, database, { maxFiles, have }),
        artifactSource({ readArtifact, isAllowed, staging, limits, maxFiles, signal }),
        mirrorSource({ database, urlOf, isAllowed, open, maxFiles }),
      ];
      return takeTurns(limitSources(sources, limits), turn);
    },
    close: () => connections.close(),
  };
}

/** A token goes to the server it was given for, and to no other that a lock may name. */
function openMirror(
  url: string,
  options: RepositoryOptions,
  database: ObjectDatabase,
  log: Log,
  { registryUrl, signal }: Pick<SourceParts, 'signal'> & { registryUrl: string | undefined },
): TaggedRemote {
  const origin = originOf(url);
  const isRegistrys = registryUrl !== undefined && originOf(registryUrl) === origin;
  const isRepositorys = originOf(options.repositories[0] ?? '') === origin;
  const name = isRegistrys
    ? 'MODULE_REGISTRY_TOKEN'
    : isRepositorys
      ? 'RINGLOCK_GIT_TOKEN'
      : undefined;
  return openRemote(url, database, {
    ...remoteOptions(options, log),
    token: () => (name === undefined ? undefined : readSecret(name, options.environment)),
    tokenSource: name ?? 'no token',
    signal,
    retries: 1,
  });
}
