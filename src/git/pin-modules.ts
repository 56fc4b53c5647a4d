import { badInput, type RinglockError, refused } from '../errors.ts';
import { dependencyOrder, type GraphModule } from '../repo/graph.ts';
import { type Lock, type LockEntry, parseLock, samePin, versionDirection } from '../repo/lock.ts';
import { isAlias, lockFile, ringFile } from '../repo/names.ts';
import {
  type NewPin,
  type PinCommand,
  refuseHeldPins,
  refuseNewIncompatibilities,
  refuseWrongCommand,
  withPins,
} from '../repo/pin-change.ts';
import { type Ring, type RingFile, withHold } from '../repo/ring.ts';
import type { GitRepository } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import type { OpenPackages, PackageSource } from './package-source.ts';
import { readPinnedModules } from './pinned-modules.ts';
import { graphModuleOf, type PlatformSnapshot } from './platform-snapshot.ts';
import { resolveAnywhere } from './resolve-version.ts';
import { findModule, unknownModule } from './ring-selection.ts';
import { readRingVersions, versionBefore } from './ring-versions.ts';
import { pinnedGraph } from './verify-ring.ts';

/** Which pins of a ring's lock are to change. */
export interface PinRequest {
  readonly command: PinCommand;
  /** Undefined: the ring that is the default one, or the only one. */
  readonly ring: string | undefined;
  /** Alias or directory; undefined: all of the lock (upgrade only). */
  readonly module: string | undefined;
  /** Undefined: the version before (rollback only). */
  readonly version: string | undefined;
  /** Writes the entry anew though the version is there already. */
  readonly force: boolean;
  /** For the hold that a rollback of a tracking ring is. */
  readonly reason: string;
  readonly now: Date;
  /** Versions that git does not have. */
  readonly openPackages: OpenPackages;
}

export interface PinnedChange {
  readonly alias: string;
  readonly before: LockEntry | undefined;
  readonly after: LockEntry;
}

/** What to write, decided and verified. */
export interface PinPlan {
  readonly ring: string;
  /** Dependencies first; empty when nothing is to be done. */
  readonly changes: readonly PinnedChange[];
  /** Path from the repository's top → text. */
  readonly files: ReadonlyMap<string, string>;
  /** Tags that keep pinned trees on a server: name → commit. */
  readonly tags: ReadonlyMap<string, string>;
  /** Whether the module is held there: a tracking ring rolled back. */
  readonly held: boolean;
}

/**
 * Decides what an install, upgrade or rollback makes of a ring's lock: each new entry is read from git,
 * else from a registry, and verified, and the lock has to run as a whole.
 *
 * @throws RinglockError `unknown-ring`, `unknown-module`, `unknown-version`, `ambiguous-version`,
 *   `tracking-ring`, `held`, `incompatible-lock`, `no-version-before`, and what refuseWrongCommand() and resolveAnywhere() throw
 */
export async function planPins(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  request: PinRequest,
): Promise<PinPlan> {
  const file = chooseRing(snapshot, request.ring);
  const { ring } = file;
  const text = snapshot.lockTexts.get(ring.name);
  if (text === undefined) {
    throw badInput('no-lock', `${lockFile(ring.name)} is missing`, {
      hint: `Write it with \`ringlock lock --ring ${ring.name}\`.`,
    });
  }
  const packages = request.openPackages(snapshot, repository);
  const lock = parseLock(text, ring.name);
  const context = { repository, snapshot, ring, lock, request, packages };
  if (ring.tracking && request.command !== 'rollback') throw trackingRing(ring);
  const found =
    request.module === undefined
      ? await wholeLock(context)
      : await oneModule(context, request.module);
  const pins = found.pins.filter(({ alias, entry }) => {
    const before = context.lock.modules.get(alias);
    return request.force || before === undefined || !samePin(before, entry);
  });
  if (pins.length === 0) return emptyPlan(ring.name);
  if (!ring.tracking) refuseHeldPins(ring, pins);
  await refuseBroken(context, pins);
  return written(context, file, text, pins, found.tags);
}

interface Context {
  readonly repository: GitRepository;
  readonly snapshot: PlatformSnapshot;
  readonly ring: Ring;
  readonly lock: Lock;
  readonly request: PinRequest;
  readonly packages: PackageSource;
}

interface Found {
  readonly pins: readonly NewPin[];
  readonly tags: ReadonlyMap<string, string>;
}

/** The ring that is named, the default one, or the only one. @throws RinglockError `ring-not-given` */
function chooseRing(snapshot: PlatformSnapshot, name: string | undefined): RingFile {
  if (name !== undefined) return requireRing(snapshot, name);
  const rings = [...snapshot.rings.values()];
  const chosen = rings.find(({ ring }) => ring.isDefault) ?? (rings.length === 1 && rings[0]);
  if (chosen) return chosen;
  throw badInput('ring-not-given', 'which ring is meant was not given, and none is the default', {
    hint: `Give --ring NAME (${[...snapshot.rings.keys()].join(', ') || 'none there'}).`,
  });
}

function trackingRing({ name, branch }: Ring): RinglockError {
  return refused(
    'tracking-ring',
    `${ringFile(name)} tracks modules: its lock follows each commit of ${branch}, nothing is pinned into it`,
    {
      hint: 'Commit the module’s change instead; to go back there: ringlock rollback, which holds it.',
    },
  );
}

function aliasOf({ snapshot, lock, request }: Context, name: string): string {
  if (lock.modules.has(name)) return name;
  const module = findModule(snapshot.modules, name);
  if (module !== undefined) return module.alias;
  for (const [alias, { directory }] of lock.modules) {
    if (directory !== null && (directory === name || directory.split('/').at(-1) === name)) {
      return alias;
    }
  }
  // A registry may have it.
  if (request.command === 'install' && isAlias(name)) return name;
  throw unknownModule(name, [...new Set([...snapshot.modules.keys(), ...lock.modules.keys()])]);
}

async function oneModule(context: Context, name: string): Promise<Found> {
  const { repository, snapshot, ring, lock, request, packages } = context;
  const alias = aliasOf(context, name);
  const present = lock.modules.get(alias);
  const where = { place: lockFile(ring.name), option: `--ring ${ring.name}` };
  const history =
    request.command === 'rollback' ? await readRingVersions(repository, ring.name, alias) : [];
  const wanted = request.version ?? beforeOf(alias, present, history, ring).version;
  refuseWrongCommand(request.command, alias, present?.version, wanted, where);
  const before = history.findLast((entry) => entry?.version === wanted);
  const resolved = await resolveAnywhere(repository, snapshot, alias, wanted, packages);
  // The entry as it was: also its artifact and release time come back.
  const entry = before !== undefined && samePin(before, resolved.entry) ? before : resolved.entry;
  return {
    pins: [{ alias, entry, module: graphModuleOf(resolved) }],
    tags: new Map(
      resolved.needsTag && resolved.commit !== undefined
        ? [[`${alias}@${wanted}`, resolved.commit]]
        : [],
    ),
  };
}

function beforeOf(
  alias: string,
  present: LockEntry | undefined,
  history: readonly (LockEntry | undefined)[],
  ring: Ring,
): LockEntry {
  const before = present && versionBefore(history, present);
  if (before !== undefined) return before;
  const had = new Set(history.flatMap((entry) => entry?.version ?? []));
  throw refused(
    'no-version-before',
    `${alias} had no version before ${present?.version ?? 'now'} in ${ring.name}`,
    {
      hint: `Versions that ${lockFile(ring.name)} had: ${[...had].join(', ') || 'none'}. Any other: --to VERSION.`,
    },
  );
}

/** A whole lock: what the ring promotes from has, where that is newer. */
async function wholeLock({ repository, snapshot, ring, lock, packages }: Context): Promise<Found> {
  const from = ring.promotesFrom;
  const text = from === undefined ? undefined : snapshot.lockTexts.get(from);
  if (from === undefined || text === undefined) {
    throw refused(
      'no-source-ring',
      `${ringFile(ring.name)} promotes from no ring that has a lock`,
      {
        hint: 'Name it as promotesFrom there, or upgrade one module: ringlock upgrade <alias> --to V.',
      },
    );
  }
  const source = parseLock(text, from);
  const newer = [...source.modules].filter(([alias, entry]) => {
    const before = lock.modules.get(alias);
    if (ring.holds.has(alias) || before === undefined)
      return before === undefined && !ring.holds.has(alias);
    return versionDirection(before.version, entry.version) === 'up';
  });
  const wanted = { ...source, modules: new Map(newer) };
  const read = await readPinnedModules(repository, wanted, snapshot.settings.maxFiles, packages);
  const pins = newer.map(([alias, entry]) => {
    const module = read.get(alias);
    if (module?.problem !== undefined) throw module.problem;
    if (module === undefined) throw unknownModule(alias, [...source.modules.keys()]);
    return { alias, entry, module: graphModuleOf({ manifest: module.manifest }) };
  });
  return { pins, tags: new Map() };
}

/** The lock as a whole has to run: on a tracking ring with what modules/ has. */
async function refuseBroken(context: Context, pins: readonly NewPin[]): Promise<void> {
  const { repository, snapshot, lock, request, packages } = context;
  const read = await readPinnedModules(repository, lock, snapshot.settings.maxFiles, packages);
  const graph = pinnedGraph(read, lock);
  // A module whose tree cannot be read still is there at its version.
  for (const [alias, { version }] of lock.modules) {
    if (!graph.has(alias)) graph.set(alias, { version, ...unknownNeeds });
  }
  const changed = new Map(pins.map(({ alias, module }) => [alias, module]));
  const hint =
    request.command === 'rollback'
      ? 'Roll back what depends on it first, or choose another version with --to.'
      : 'Bring what it needs first, or move the ring’s platform.';
  refuseNewIncompatibilities(lock, graph, changed, hint);
}

const unknownNeeds: Omit<GraphModule, 'version'> = {
  platformRange: undefined,
  dependencies: new Map(),
};

function written(
  { lock, ring, request }: Context,
  file: RingFile,
  text: string,
  pins: readonly NewPin[],
  tags: ReadonlyMap<string, string>,
): PinPlan {
  const order = dependencyOrder(new Map(pins.map(({ alias, module }) => [alias, module])));
  const changes = order.flatMap((alias) => {
    const pin = pins.find((one) => one.alias === alias);
    return pin ? [{ alias, before: lock.modules.get(alias), after: pin.entry }] : [];
  });
  const files = new Map([[lockFile(ring.name), withPins(text, pins)]]);
  if (ring.tracking) {
    const since = request.now.toISOString().replace(/\.\d+Z$/, 'Z');
    const [pin] = pins;
    if (pin !== undefined) {
      const hold = { version: pin.entry.version, reason: request.reason, since };
      files.set(ringFile(ring.name), withHold(file, pin.alias, hold));
    }
  }
  return { ring: ring.name, changes, files, tags, held: ring.tracking };
}

function emptyPlan(ring: string): PinPlan {
  return { ring, changes: [], files: new Map(), tags: new Map(), held: false };
}
