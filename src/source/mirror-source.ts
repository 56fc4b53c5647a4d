import { RinglockError } from '../errors.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { TaggedRemote } from '../git/remote.ts';
import { type IsAllowed, notAllowed } from './allowed-places.ts';
import type { ModuleSource, SourceFile, WantedModule } from './module-source.ts';
import { moduleLabel, readModuleTree } from './module-tree.ts';

export interface MirrorSourceOptions {
  readonly database: ObjectDatabase;
  /** Where a lock's `source` is; undefined for one whose server nobody has named. */
  readonly urlOf: (source: string) => string | undefined;
  readonly isAllowed: IsAllowed;
  /** Opens a mirror; closed after each use. @throws RinglockError for a URL that cannot be */
  readonly open: (url: string) => TaggedRemote;
  readonly maxFiles: number;
}

/** Modules from their own repository, where `v<version>` is a commit whose tree is the module's. */
export function mirrorSource({
  database,
  urlOf,
  isAllowed,
  open,
  maxFiles,
}: MirrorSourceOptions): ModuleSource {
  const mirrorOf = ({ entry }: WantedModule) =>
    entry.source === null ? undefined : urlOf(entry.source);
  return {
    name: 'mirror',
    offers: (module) => isAllowed(mirrorOf(module) ?? ''),
    read: async (module): Promise<AsyncIterable<SourceFile> | undefined> => {
      const url = mirrorOf(module);
      if (url === undefined) return undefined;
      if (!isAllowed(url)) throw notAllowed(url);
      const remote = open(url);
      try {
        const commit = await remote.fetchTag(`v${module.entry.version}`);
        if (commit === undefined) return undefined;
        const { tree } = await database.readCommit(commit);
        await remote.fetchTrees([tree]);
        return await readModuleTree(database, tree, moduleLabel(module), maxFiles);
      } catch (error) {
        throw ofMirror(error);
      } finally {
        await remote.close();
      }
    },
  };
}

/** Under codes of its own: a token that a mirror refuses is not the one of the repository. */
function ofMirror(error: unknown): unknown {
  if (!(error instanceof RinglockError) || error.code.startsWith('disk-')) return error;
  const { code, exitCode, message, hint } = error;
  return new RinglockError(`mirror-${code}`, exitCode, message, {
    cause: error,
    ...(hint !== undefined && { hint }),
  });
}

/**
 * The URL of a lock's `source`: `gitlab:group/name` on the registry's server, `github:owner/name`, a URL as
 * it is. A short form of another kind has none.
 *
 * @param registryUrl MODULE_REGISTRY_URL
 */
export function mirrorUrl(source: string, registryUrl: string | undefined): string | undefined {
  const [, host, path] = /^(gitlab|github):(?!\/\/)(.+?)(?:\.git)?\/*$/.exec(source) ?? [];
  if (host === 'github') return `https://github.com/${path}.git`;
  if (host === 'gitlab') {
    if (registryUrl === undefined || !URL.canParse(registryUrl)) return undefined;
    return `${new URL(registryUrl).origin}/${path}.git`;
  }
  return /^(https?|ssh|file):\/\//.test(source) ? source : undefined;
}
