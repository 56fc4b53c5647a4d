import {
  dependencyOrder,
  findIncompatibilities,
  type GraphModule,
  type Incompatibility,
} from '../repo/graph.ts';
import type { ModuleFile } from '../repo/module-manifest.ts';
import type { Generation } from '../store/generation.ts';
import { generationLockFile } from '../store/generation.ts';

/** One generation of a root, as an application sees it. Frozen to its last field. */
export interface LoadedModules {
  /** The root's real path. */
  readonly root: string;
  readonly ring: string;
  /** The generation's number. */
  readonly generation: number;
  /** The commit whose lock it is; null for one that came from no commit, as a seed's may. */
  readonly commit: string | null;
  /** Real path of the effective lock: what the generation really is. */
  readonly lockPath: string;
  /** `sha256:<hex>` of that file. */
  readonly lockDigest: string;
  /** When the generation was built: RFC 3339, UTC. */
  readonly createdAt: string;
  /** What the modules were compared with: the lock's platform, or the one that the application gave. */
  readonly platform: string;
  /** The modules that can run, each after its dependencies. */
  readonly modules: readonly LoadedModule[];
  /** Why others cannot, by alias: one entry a reason. Empty when every module of the lock can run. */
  readonly refused: readonly RefusedModule[];
}

export interface LoadedModule {
  readonly alias: string;
  readonly version: string;
  /** Real path of its directory. */
  readonly path: string;
  /** Its module.json as it was written, unknown fields included. */
  readonly manifest: ModuleFile;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
}

export interface RefusedModule {
  readonly alias: string;
  readonly kind: Incompatibility['kind'];
  /** A sentence that names versions and ranges. */
  readonly reason: string;
  /** The dependency at fault; null where it is the platform or the module itself. */
  readonly because: string | null;
}

/** A module as it was found on disk. */
export interface FoundModule extends LoadedModule {
  readonly graph: GraphModule;
}

/**
 * What of a generation can run on a platform, and why the rest cannot: what the reconciler left out,
 * and what falls here.
 *
 * @param root its real path
 */
export function viewOf(
  root: string,
  generation: Generation,
  found: readonly FoundModule[],
  platform: string,
): LoadedModules {
  const graph = new Map(found.map((module) => [module.alias, module.graph]));
  const refusals = [...generation.refused, ...findIncompatibilities(graph, platform)];
  const fallen = new Set(refusals.map(({ alias }) => alias));
  const byAlias = new Map(found.map((module) => [module.alias, module]));
  const modules = dependencyOrder(graph).flatMap((alias) => {
    const module = byAlias.get(alias);
    if (module === undefined || fallen.has(alias)) return [];
    const { version, path, manifest, sha256 } = module;
    return { alias, version, path, manifest, sha256 };
  });
  return frozen({
    root,
    ring: generation.lock.ring,
    generation: generation.number,
    commit: generation.commit,
    lockPath: generationLockFile(generation.path),
    lockDigest: generation.lockDigest,
    createdAt: generation.createdAt,
    platform,
    modules,
    refused: refusals.map(({ alias, kind, message, because }) => {
      return { alias, kind, reason: message, because: because ?? null };
    }),
  });
}

/** Freezes plain data to its last field. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
