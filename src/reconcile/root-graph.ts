import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { moduleManifestFile } from '../digest/module-files.ts';
import type { GraphModule } from '../repo/graph.ts';
import { parseModuleManifest } from '../repo/module-manifest.ts';
import type { Generation } from '../store/generation.ts';
import { moduleDirectories } from '../store/layout.ts';

/**
 * What the modules of a generation need, as their module.json on the root's disk says. A module whose
 * module.json cannot be read is there at its version, and needs nothing that is known: its drift is for the
 * pass to find and to mend.
 */
export async function readRootGraph(generation: Generation): Promise<Map<string, GraphModule>> {
  const limit = pLimit(16);
  const modules = [...generation.lock.modules.keys()].map((alias) =>
    limit(async () => [alias, await readRootModule(generation, alias)] as const),
  );
  return new Map(await Promise.all(modules));
}

/** As readRootGraph(), of one module that the generation has. */
export async function readRootModule(
  { lock, path }: Generation,
  alias: string,
): Promise<GraphModule> {
  const version = lock.modules.get(alias)?.version ?? '';
  try {
    const directory = moduleDirectories(lock).get(alias) ?? alias;
    const text = await readFile(join(path, directory, moduleManifestFile), 'utf8');
    const manifest = parseModuleManifest(text, `${alias} ${version}'s ${moduleManifestFile}`);
    return { version, platformRange: manifest.platformRange, dependencies: manifest.dependencies };
  } catch {
    return { version, platformRange: undefined, dependencies: new Map() };
  }
}
