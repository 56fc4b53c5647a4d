import type { ModuleSnapshot, PlatformSnapshot } from '../git/platform-snapshot.ts';

/**
 * The platform that a merge of a change onto its target will make, module by module: what the change did
 * not touch is the target's. A module that both changed is taken as the change has it; its bytes will be
 * others, and all that counts of it is that it needs a version of its own.
 *
 * Told from the versions and digests alone, so that conflicts elsewhere do not matter.
 *
 * @param base undefined: the two have nothing in common
 */
export function mergedPlatform(
  base: PlatformSnapshot | undefined,
  target: PlatformSnapshot,
  change: PlatformSnapshot,
): PlatformSnapshot {
  const modules = new Map<string, ModuleSnapshot>();
  const aliases = new Set([...target.modules.keys(), ...change.modules.keys()]);
  for (const alias of [...aliases].sort()) {
    const [before, ours, theirs] = [base, change, target].map((one) => one?.modules.get(alias));
    const merged = isSame(before, ours) ? theirs : ours;
    if (merged !== undefined) modules.set(alias, merged);
  }
  const platform = base?.platform === change.platform ? target.platform : change.platform;
  return { ...change, platform, modules };
}

function isSame(one: ModuleSnapshot | undefined, other: ModuleSnapshot | undefined): boolean {
  return (
    one?.sha256 === other?.sha256 &&
    one?.manifest.version === other?.manifest.version &&
    one?.path === other?.path
  );
}
