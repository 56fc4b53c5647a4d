import { badInput, RinglockError, refused } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { readLockHistory } from '../git/lock-history.ts';
import type { PackageSource } from '../git/package-source.ts';
import { type PinnedModule, readPinnedModules } from '../git/pinned-modules.ts';
import type { GraphModule, GraphModules } from '../repo/graph.ts';
import { type Lock, type LockEntry, samePin } from '../repo/lock.ts';
import {
  neededFromSource,
  type Promotion,
  planPromotion,
  refuseWrongChain,
  requireEntry,
  type WantedPin,
} from '../repo/promotion.ts';
import type { Ring } from '../repo/ring.ts';

/** Two rings' locks and what is to go from the one to the other. */
export interface PromotionRequest {
  readonly from: Lock;
  readonly to: Lock;
  /** The target's lock as it stands. */
  readonly toText: string;
  readonly toRing: Ring;
  /** Entries by alias; undefined: every module that differs. */
  readonly wanted: ReadonlyMap<string, LockEntry> | undefined;
  /** Whether what they need of the source goes with them. */
  readonly withDependencies: boolean;
  readonly allowDowngrade: boolean;
  readonly movePlatform: boolean;
}

/** How pinned trees and packages are read. */
export interface PinReading {
  readonly repository: GitRepository;
  readonly maxFiles: number;
  readonly packages: PackageSource;
}

/**
 * Decides a promotion: verifies each entry against its pinned tree, and the target's lock as a whole.
 *
 * @throws RinglockError `tree-missing`, `tree-mismatch`, and what planPromotion() throws
 */
export async function decidePromotion(
  request: PromotionRequest,
  reading: PinReading,
): Promise<Promotion> {
  const { from, to, toText, toRing, allowDowngrade, movePlatform } = request;
  refuseWrongChain(from.ring, toRing);
  const targetGraph = await readGraph(to, reading);
  const wanted = await readWanted(from, wantedEntries(request), reading);
  while (request.withDependencies) {
    const known = new Map(wanted.map(({ alias, module }) => [alias, module]));
    const needed = neededFromSource(readable(known), targetGraph, from);
    const missing = new Map(
      needed.flatMap((alias) => {
        const entry = from.modules.get(alias);
        return known.has(alias) || entry === undefined ? [] : [[alias, entry] as const];
      }),
    );
    if (missing.size === 0) break;
    wanted.push(...(await readWanted(from, missing, reading)));
  }
  const isAll = request.wanted === undefined;
  return planPromotion({
    ...{ from, to, toText, toRing, wanted, isAll, allowDowngrade, movePlatform, targetGraph },
  });
}

/**
 * The source's entries that are named: `orders`, its directory, or `orders@1.0.1` for a version that the
 * source had before.
 *
 * @throws RinglockError `unknown-module`, `unknown-version`, `named-twice`
 */
export async function findWanted(
  repository: GitRepository,
  from: Lock,
  names: readonly string[],
): Promise<Map<string, LockEntry>> {
  const wanted = new Map<string, LockEntry>();
  for (const name of names) {
    const [module = '', version] = name.split('@');
    const alias = aliasIn(from, module);
    if (wanted.has(alias)) throw badInput('named-twice', `${alias} is given twice`);
    const entry =
      version === undefined ? undefined : await entryOf(repository, from, alias, version);
    wanted.set(alias, entry ?? requireEntry(from, alias));
  }
  return wanted;
}

function aliasIn({ modules }: Lock, name: string): string {
  if (modules.has(name)) return name;
  const isNamed = ({ directory }: LockEntry) =>
    directory === name || directory?.split('/').at(-1) === name;
  return [...modules].find(([, entry]) => isNamed(entry))?.[0] ?? name;
}

async function entryOf(
  repository: GitRepository,
  from: Lock,
  alias: string,
  version: string,
): Promise<LockEntry> {
  const present = from.modules.get(alias);
  if (present?.version === version) return present;
  const history = (await readLockHistory(repository, from.ring, [alias])).get(alias) ?? [];
  const found = history.findLast((entry) => entry?.version === version);
  if (found !== undefined) return found;
  const had = [...new Set([...history, present].flatMap((entry) => entry?.version ?? []))];
  throw refused('unknown-version', `${from.ring} never had ${alias} ${version}`, {
    hint: `Versions that its lock had: ${had.join(', ') || 'none'}.`,
  });
}

function wantedEntries({ from, to, wanted }: PromotionRequest): ReadonlyMap<string, LockEntry> {
  if (wanted !== undefined) return wanted;
  const differing = [...from.modules].filter(([alias, entry]) => {
    const there = to.modules.get(alias);
    return there === undefined || !samePin(there, entry);
  });
  return new Map(differing);
}

/** Entries with the manifests of their pinned trees, each verified. */
export async function readWanted(
  from: Lock,
  entries: ReadonlyMap<string, LockEntry>,
  reading: PinReading,
): Promise<WantedPin[]> {
  const read = await readAll({ ...from, modules: entries }, reading);
  return [...entries].map(([alias, entry]) => {
    const module = read.get(alias);
    return { alias, entry, module: module?.problem ?? module?.manifest ?? unread(alias) };
  });
}

function unread(alias: string): RinglockError {
  return badInput('unknown-module', `no module ${JSON.stringify(alias)}`);
}

function readAll(
  lock: Lock,
  { repository, maxFiles, packages }: PinReading,
): Promise<ReadonlyMap<string, PinnedModule>> {
  return readPinnedModules(repository, lock, maxFiles, packages);
}

function readable(modules: ReadonlyMap<string, GraphModule | RinglockError>): GraphModules {
  const found = new Map<string, GraphModule>();
  for (const [alias, module] of modules) {
    if (!(module instanceof RinglockError)) found.set(alias, module);
  }
  return found;
}

/** A module of the target whose tree cannot be read still is there at its version. */
export async function readGraph(lock: Lock, reading: PinReading): Promise<GraphModules> {
  const read = await readAll(lock, reading);
  return new Map(
    [...lock.modules].map(([alias, { version }]) => {
      const manifest = read.get(alias)?.manifest;
      const { platformRange, dependencies = new Map() } = manifest ?? {};
      return [alias, { version, platformRange, dependencies }];
    }),
  );
}
