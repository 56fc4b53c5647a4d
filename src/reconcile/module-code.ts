import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moduleManifestFile } from '../digest/module-files.ts';
import { dependencyOrder } from '../repo/graph.ts';
import type { Lock, LockEntry } from '../repo/lock.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import type { Root } from '../store/root.ts';

/** A version in the store, as something that can be run. */
export interface ModuleCode {
  readonly alias: string;
  readonly version: string;
  /** Absolute; immutable. */
  readonly path: string;
  readonly manifest: ModuleManifest;
  /** module.json as it is written. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** @returns undefined when the version is not in the store (any more) */
export async function readModuleCode(
  root: Root,
  alias: string,
  { version, sha256 }: Pick<LockEntry, 'version' | 'sha256'>,
): Promise<ModuleCode | undefined> {
  const path = await root.versionPath({ alias, version, sha256 });
  if (path === undefined) return undefined;
  const text = await readFile(join(path, moduleManifestFile), 'utf8');
  const manifest = parseModuleManifest(text, `${alias} ${version}'s ${moduleManifestFile}`);
  return { alias, version, path, manifest, json: JSON.parse(text) };
}

/** The code of a lock's modules, dependencies first; what the store does not have is left out. */
export async function readLockCode(root: Root, lock: Lock): Promise<ModuleCode[]> {
  const found = new Map<string, ModuleCode>();
  for (const [alias, entry] of lock.modules) {
    const code = await readModuleCode(root, alias, entry);
    if (code !== undefined) found.set(alias, code);
  }
  const graph = new Map([...found].map(([alias, { manifest }]) => [alias, manifest]));
  return dependencyOrder(graph).flatMap((alias) => found.get(alias) ?? []);
}
