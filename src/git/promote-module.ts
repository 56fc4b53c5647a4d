import { badInput, type RinglockError } from '../errors.ts';
import type { GraphModule } from '../repo/graph.ts';
import type { Lock } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import { type Promotion, promote } from '../repo/promotion.ts';
import type { GitRepository } from './git-command.ts';
import {
  readManifestFiles,
  requireLock,
  requireRing,
  writeManifestFile,
} from './manifest-files.ts';
import type { OpenPackages } from './package-source.ts';
import { type PinnedModule, readPinnedModules } from './pinned-modules.ts';

export interface PromotedModule extends Promotion {
  /** The lock that was written, or stayed as it was. */
  readonly file: string;
}

/**
 * Promotes one module: verifies the source's entry against its pinned tree, decides, and writes the
 * target's lock in the work tree.
 *
 * @param options.write false only decides
 * @throws RinglockError `unknown-ring`, `no-lock`, `tree-missing`, `tree-mismatch`, and what
 *   promote() throws
 */
export async function promoteModule(
  repository: GitRepository,
  alias: string,
  fromRing: string,
  toRing: string,
  options: { readonly write: boolean; readonly openPackages: OpenPackages },
): Promise<PromotedModule> {
  const files = await readManifestFiles(repository);
  requireRing(files, fromRing);
  const ring = requireRing(files, toRing);
  const from = requireLock(files, fromRing).lock;
  const { lock: to, text } = requireLock(files, toRing);
  const { maxFiles } = files.settings;
  const packages = options.openPackages({ settings: files.settings });
  const entry = from.modules.get(alias);
  const source = { ...from, modules: new Map(entry === undefined ? [] : [[alias, entry]]) };
  const [read, target] = await Promise.all([
    readPinnedModules(repository, source, maxFiles, packages),
    readPinnedModules(repository, to, maxFiles, packages),
  ]);
  const promotion = promote({
    alias,
    from,
    to,
    toText: text,
    toRing: ring,
    promoted: verified(read.get(alias), alias),
    targetGraph: new Map([...target].map(([name, module]) => [name, graphOf(to, name, module)])),
  });
  const file = lockFile(toRing);
  if (promotion.changed && options.write) await writeManifestFile(repository, file, promotion.text);
  return { ...promotion, file };
}

function verified(module: PinnedModule | undefined, alias: string): GraphModule | RinglockError {
  if (module === undefined) return badInput('unknown-module', `no module ${JSON.stringify(alias)}`);
  return module.problem ?? module.manifest;
}

/** A module of the target whose tree cannot be read still is there at its version. */
function graphOf(lock: Lock, alias: string, { manifest }: PinnedModule): GraphModule {
  const version = lock.modules.get(alias)?.version ?? '';
  if (manifest === undefined) return { version, platformRange: undefined, dependencies: new Map() };
  const { platformRange, dependencies } = manifest;
  return { version, platformRange, dependencies };
}
