import semver from 'semver';
import { RinglockError, refused } from '../errors.ts';
import { findRepository } from '../git/git-command.ts';
import type { OpenPackages } from '../git/package-source.ts';
import { graphModuleOf, readPlatform } from '../git/platform-snapshot.ts';
import { resolveAnywhere } from '../git/resolve-version.ts';
import { findModule, unknownModule } from '../git/ring-selection.ts';
import { commitTree } from '../git/tree-snapshot.ts';
import type { GraphModule } from '../repo/graph.ts';
import type { LockEntry } from '../repo/lock.ts';
import { isAlias } from '../repo/names.ts';
import {
  type PinCommand,
  refuseNewIncompatibilities,
  refuseWrongCommand,
} from '../repo/pin-change.ts';
import { type Generation, readCurrentGeneration } from '../store/generation.ts';
import { readRootGraph, readRootModule } from './root-graph.ts';
import {
  type RetainedVersion,
  retainedGenerations,
  retainedVersions,
  versionBeforeOnRoot,
} from './versions-on-root.ts';

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
  /** A clone of the platform, where there is one: asked only for what the root does not keep. */
  readonly cwd: string | undefined;
  /** Versions that neither the root nor the clone has. */
  readonly openPackages: OpenPackages;
}

/**
 * Chooses the entry that a root is to serve: of the versions that the root keeps, else of those in the clone
 * that the command runs in, else of those in its registries. What it would break on the root is refused before
 * the root is touched, whichever it comes from. Nothing of a clone is read for a version that the root keeps.
 *
 * @throws RinglockError `nothing-served`, `unknown-module`, `unknown-version`, `version-not-retained`,
 *   `incompatible-lock`, `no-version-before`, and what refuseWrongCommand(), readPlatform() and
 *   resolveAnywhere() throw
 */
export async function chooseForRoot(request: RootRequest): Promise<RootChoice> {
  const { root, command } = request;
  const current = await readCurrentGeneration(root);
  if (current === undefined) {
    throw refused('nothing-served', `${root} serves no generation`, {
      hint: 'Give --root the directory that a reconciler owns.',
    });
  }
  const generations = await retainedGenerations(root);
  const clone = new LazyClone(request.cwd);
  const alias =
    aliasOnRoot([...generations, current], request.module) ??
    (await aliasElsewhere(clone, request));
  if (alias === undefined) throw unknownModule(request.module, [...current.lock.modules.keys()]);
  const from = current.lock.modules.get(alias)?.version;
  const retained = retainedVersions(generations, alias);
  const kept = keptHint(retained, from);
  const wanted = request.version ?? (from && (await versionBeforeOnRoot(root, alias, from)));
  if (wanted === undefined) {
    throw refused('no-version-before', `${alias} had no version before ${from ?? 'now'} here`, {
      hint: kept,
    });
  }
  refuseWrongCommand(command, alias, from, wanted, { place: root, option: `--root ${root}` });
  const { entry, module } =
    (await onRoot(retained, alias, wanted)) ??
    (await elsewhere(clone, alias, wanted, kept, request));
  const graph = await readRootGraph(current);
  const pins = new Map([[alias, module]]);
  const hint =
    command === 'rollback'
      ? 'Roll back what depends on it first, or choose another version with --to.'
      : 'Bring what it needs to the root first.';
  refuseNewIncompatibilities(current.lock, graph, pins, hint);
  return { alias, from, entry };
}

interface Candidate {
  readonly entry: LockEntry;
  readonly module: GraphModule;
}

type Clone = Awaited<ReturnType<typeof readClone>>;

/** Read when something of it is asked for, and once. */
class LazyClone {
  readonly #cwd: string | undefined;
  #read: Promise<Clone | undefined> | undefined;

  constructor(cwd: string | undefined) {
    this.#cwd = cwd;
  }

  /** Undefined where there is none: what is no clone of a platform has no versions to offer. */
  open(): Promise<Clone | undefined> {
    this.#read ??= this.#cwd === undefined ? Promise.resolve(undefined) : openClone(this.#cwd);
    return this.#read;
  }
}

async function openClone(cwd: string): Promise<Clone | undefined> {
  try {
    return await readClone(cwd);
  } catch (error) {
    const codes = ['not-a-repository', 'git-missing', 'no-platform', 'unknown-revision'];
    if (error instanceof RinglockError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

async function readClone(cwd: string) {
  const repository = await findRepository(cwd);
  const snapshot = await readPlatform(repository, await commitTree(repository, 'HEAD'));
  return { repository, snapshot };
}

/** What serves first, then what served before. */
function aliasOnRoot(generations: readonly Generation[], name: string): string | undefined {
  for (const { lock } of generations.toReversed()) {
    if (lock.modules.has(name)) return name;
    const found = [...lock.modules].find(([, { directory }]) => directory === name);
    if (found !== undefined) return found[0];
  }
  return undefined;
}

async function aliasElsewhere(
  clone: LazyClone,
  { command, module: name }: RootRequest,
): Promise<string | undefined> {
  const opened = await clone.open();
  const module = opened && findModule(opened.snapshot.modules, name);
  if (module !== undefined) return module.alias;
  // A registry may have it.
  return opened !== undefined && command === 'install' && isAlias(name) ? name : undefined;
}

function keptHint(
  retained: ReadonlyMap<string, RetainedVersion>,
  from: string | undefined,
): string {
  const others = [...retained.keys()].filter((version) => version !== from).sort(semver.compare);
  return `Versions kept in this root: ${others.join(', ') || 'none but the one it runs'}.`;
}

async function onRoot(
  retained: ReadonlyMap<string, RetainedVersion>,
  alias: string,
  version: string,
): Promise<Candidate | undefined> {
  const found = retained.get(version);
  if (found === undefined) return undefined;
  return { entry: found.entry, module: await readRootModule(found.generation, alias) };
}

async function elsewhere(
  clone: LazyClone,
  alias: string,
  version: string,
  kept: string,
  { openPackages }: RootRequest,
): Promise<Candidate> {
  try {
    const opened = await clone.open();
    if (opened === undefined) {
      throw refused('version-not-retained', `${alias} ${version} is not kept in this root`, {
        hint: 'For any other run it in a clone of the platform (-C DIR).',
      });
    }
    const { repository, snapshot } = opened;
    const packages = openPackages(snapshot, repository);
    const resolved = await resolveAnywhere(repository, snapshot, alias, version, packages);
    return { entry: resolved.entry, module: graphModuleOf(resolved) };
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    const { code, exitCode, message, hint, details } = error;
    throw new RinglockError(code, exitCode, message, {
      hint: [kept, hint].filter(Boolean).join(' '),
      ...(details && { details }),
      cause: error,
    });
  }
}
