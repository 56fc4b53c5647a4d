import { type LockEntry, parseLock } from '../repo/lock.ts';
import { promotionOrder } from '../repo/ring.ts';
import { hasConflictMarkers } from '../repo/source-text.ts';
import { requireRing } from './manifest-files.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';

export interface ListedModule {
  readonly alias: string;
  /** As in the lock, or null where nothing says it. */
  readonly directory: string | null;
  /** In `modules/`, or null when only a lock has it. */
  readonly version: string | null;
  /** Ring → the version that its lock pins. */
  readonly locked: Readonly<Record<string, string>>;
}

/**
 * Every module of `modules/` and of the locks, sorted by alias, or those of one ring's lock.
 *
 * @throws RinglockError `unknown-ring`, and what the lock's parser throws
 */
export function listModules(
  snapshot: PlatformSnapshot,
  only: string | undefined,
): { rings: readonly string[]; modules: readonly ListedModule[] } {
  const rings =
    only === undefined
      ? promotionOrder([...snapshot.rings.values()].map(({ ring }) => ring)).map(({ name }) => name)
      : [requireRing(snapshot, only).ring.name];
  const locks = new Map(rings.map((ring) => [ring, lockEntries(snapshot, ring)]));
  const aliases = new Set([...locks.values()].flatMap((entries) => [...entries.keys()]));
  if (only === undefined) for (const alias of snapshot.modules.keys()) aliases.add(alias);
  const modules = [...aliases].sort().map((alias) => {
    const module = snapshot.modules.get(alias);
    const pins = rings.flatMap((ring) => {
      const entry = locks.get(ring)?.get(alias);
      return entry === undefined ? [] : [{ ring, entry }];
    });
    return {
      alias,
      directory: module?.directory ?? pins[0]?.entry.directory ?? null,
      version: module?.manifest.version ?? null,
      locked: Object.fromEntries(pins.map(({ ring, entry }) => [ring, entry.version])),
    };
  });
  return { rings, modules };
}

function lockEntries(
  { lockTexts }: PlatformSnapshot,
  ring: string,
): ReadonlyMap<string, LockEntry> {
  const text = lockTexts.get(ring);
  // In the middle of a merge the list is still of use; `lock --check` names the conflict.
  if (text === undefined || hasConflictMarkers(text)) return new Map();
  return parseLock(text, ring).modules;
}
