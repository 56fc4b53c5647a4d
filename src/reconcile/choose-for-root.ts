import { RinglockError, refused } from '../errors.ts';
import { findRepository } from '../git/git-command.ts';
import { findVersions } from '../git/module-versions.ts';
import type { OpenPackages } from '../git/package-source.ts';
import { readPinnedModules } from '../git/pinned-modules.ts';
import { graphModuleOf, readPlatform } from '../git/platform-snapshot.ts';
import { resolveAnywhere } from '../git/resolve-version.ts';
import { findModule, unknownModule } from '../git/ring-selection.ts';
import { commitTree } from '../git/tree-snapshot.ts';
import { pinnedGraph } from '../git/verify-ring.ts';
import type { LockEntry } from '../repo/lock.ts';
import { isAlias } from '../repo/names.ts';
import {
  type PinCommand,
  refuseNewIncompatibilities,
  refuseWrongCommand,
} from '../repo/pin-change.ts';
import { type Generation, readCurrentGeneration } from '../store/generation.ts';
import { retainedEntries, versionBeforeOnRoot } from './versions-on-root.ts';

/** Which version a root is to serve. */
export interface RootChoice {
  readonly alias: string;
  readonly entry: LockEntry;
  /** Undefined for a module that is new there. */
  readonly from: string | undefined;
}

export interface RootRequest {
  readonly command: PinCommand;
  readonly root: string;
  /** Alias or directory. */
  readonly module: string;
  /** Undefined: the version before (rollback only). */
  readonly version: string | undefined;
  /** A clone of the platform, where there is one: it has more versions than the root. */
  readonly cwd: string | undefined;
  /** Versions that neither the root nor the clone has. */
  readonly openPackages: OpenPackages;
}

/**
 * Chooses the entry that a root is to serve: of the versions that the root keeps, else of those in the clone
 * that the command runs in, else of those in its registries, where what it would break is refused before the root is touched.
 *
 * @throws RinglockError `nothing-served`, `unknown-module`, `unknown-version`, `version-not-retained`,
 *   `incompatible-lock`, `no-version-before`, and what refuseWrongCommand() throws
 */
export async function chooseForRoot(request: RootRequest): Promise<RootChoice> {
  const { root, command } = request;
  const current = await readCurrentGeneration(root);
  if (current === undefined) {
    throw refused('nothing-served', `${root} serves no generation`, {
      hint: 'Give --root the directory that a reconciler owns.',
    });
  }
  const clone = request.cwd === undefined ? undefined : await openClone(request.cwd);
  const alias = aliasOf(current, clone?.snapshot, request);
  const from = current.lock.modules.get(alias)?.version;
  const retained = await retainedEntries(root, alias);
  const wanted = request.version ?? (from && (await versionBeforeOnRoot(root, alias, from)));
  const known = [...retained.keys()].filter((version) => version !== from).sort();
  const kept = `Versions kept in this root: ${known.join(', ') || 'none but the one it runs'}.`;
  if (wanted === undefined) {
    throw refused('no-version-before', `${alias} had no version before ${from ?? 'now'} here`, {
      hint: kept,
    });
  }
  const where = { place: root, option: `--root ${root}` };
  refuseWrongCommand(command, alias, from, wanted, where);
  const entry = retained.get(wanted);
  if (clone === undefined) {
    if (entry !== undefined) return { alias, from, entry };
    throw refused('version-not-retained', `${alias} ${wanted} is not kept in this root`, {
      hint: `${kept} For any other run it in a clone of the platform (-C DIR).`,
    });
  }
  const wantedVersion = { alias, version: wanted, retained: entry };
  return { alias, from, entry: await fromClone(clone, current, wantedVersion, request) };
}

interface Clone {
  readonly repository: Awaited<ReturnType<typeof findRepository>>;
  readonly snapshot: Awaited<ReturnType<typeof readPlatform>>;
}

/** What is no clone of a platform has no versions to offer. */
async function openClone(cwd: string): Promise<Clone | undefined> {
  try {
    const repository = await findRepository(cwd);
    const snapshot = await readPlatform(repository, await commitTree(repository, 'HEAD'));
    return { repository, snapshot };
  } catch (error) {
    const codes = ['not-a-repository', 'git-missing', 'no-platform', 'unknown-revision'];
    if (error instanceof RinglockError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

function aliasOf(
  { lock }: Generation,
  snapshot: Clone['snapshot'] | undefined,
  { command, module: name }: RootRequest,
): string {
  for (const [alias, { directory }] of lock.modules) {
    if (alias === name || directory === name) return alias;
  }
  const module = snapshot && findModule(snapshot.modules, name);
  if (module !== undefined) return module.alias;
  // A registry may have it.
  if (snapshot !== undefined && command === 'install' && isAlias(name)) return name;
  throw unknownModule(name, [...lock.modules.keys()]);
}

async function fromClone(
  { repository, snapshot }: Clone,
  { lock }: Generation,
  {
    alias,
    version,
    retained,
  }: {
    readonly alias: string;
    readonly version: string;
    readonly retained: LockEntry | undefined;
  },
  { openPackages }: RootRequest,
): Promise<LockEntry> {
  const versions = await findVersions(repository, snapshot, alias);
  if (retained !== undefined && !versions.places.has(version)) return retained;
  const packages = openPackages(snapshot);
  const resolved = await resolveAnywhere(repository, snapshot, alias, version, packages);
  if (retained !== undefined && retained.sha256 !== resolved.entry.sha256) return retained;
  const { maxFiles } = snapshot.settings;
  const graph = pinnedGraph(await readPinnedModules(repository, lock, maxFiles, packages));
  for (const [other, entry] of lock.modules) {
    if (graph.has(other)) continue;
    graph.set(other, { version: entry.version, platformRange: undefined, dependencies: new Map() });
  }
  const pins = new Map([[alias, graphModuleOf(resolved)]]);
  refuseNewIncompatibilities(lock, graph, pins, 'Bring what it needs to the root first.');
  return retained ?? resolved.entry;
}
