import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { badInput, refused } from '../errors.ts';
import { formatLock, type Lock, parseLock } from '../repo/lock.ts';
import { lockFromModules } from '../repo/lock-writing.ts';
import { lockFile, requireRingName, ringFile } from '../repo/names.ts';
import { type NewRing, namespaceLikeOthers, newRingText, takenNames } from '../repo/new-ring.ts';
import {
  newOverlayFiles,
  overlayBase,
  overlayDirectory,
  routesDirectory,
} from '../repo/overlay-template.ts';
import type { Ring } from '../repo/ring.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { diskFailed } from '../store/disk-error.ts';
import { type GitRepository, tryGit } from './git-command.ts';
import {
  type ManifestFiles,
  readManifestFiles,
  requireLock,
  requireRing,
} from './manifest-files.ts';
import { overlayUsers } from './overlay-users.ts';
import { readPlatform } from './platform-snapshot.ts';
import { workTree } from './tree-snapshot.ts';

export interface RingRequest {
  readonly name: string;
  /** The ring that versions come from; or `tracksModules`. */
  readonly promotesFrom: string | undefined;
  readonly tracksModules: boolean;
  /** Undefined: as the other rings have theirs, where an overlay needs one. */
  readonly namespace: string | undefined;
  readonly hostnames: readonly string[];
  /** Undefined: that of the ring it promotes from, or of the rings that track. */
  readonly branch: string | undefined;
  /** Whether an overlay is made, where there are overlays. */
  readonly overlay: boolean;
}

export interface AddedRing {
  readonly ring: NewRing;
  /** From the repository's top. */
  readonly files: readonly string[];
  readonly modules: number;
  /** Kustomizations that are built from the source's overlay, and not from this one yet. */
  readonly buildFrom: readonly string[];
  /** What is left to do, as commands. */
  readonly next: readonly string[];
  /** Why no overlay was made; undefined where one was. */
  readonly withoutOverlay: string | undefined;
}

/**
 * Makes a ring: its file, a lock from which it serves at once, and its overlay. Everything is checked
 * before the first file is written.
 *
 * @throws RinglockError `invalid-ring-name`, `ring-source-not-given`, `unknown-ring`, `no-lock`,
 *   `invalid-file`; `ring-not-added` with everything that is in the way
 */
export async function addRing(repository: GitRepository, asked: RingRequest): Promise<AddedRing> {
  const { name, promotesFrom, tracksModules } = asked;
  requireRingName(name);
  const files = await readManifestFiles(repository);
  if (tracksModules === (promotesFrom !== undefined)) throw sourceNotGiven(files);
  const source = promotesFrom === undefined ? undefined : requireRing(files, promotesFrom);
  const isThere = (path: string) => existsSync(join(repository.topLevel, path));
  const withoutOverlay = !asked.overlay
    ? 'not wanted'
    : isThere(overlayBase)
      ? undefined
      : `there is no ${overlayBase}`;
  const rings = [...files.rings.values()];
  const order = source === undefined ? rings : [source, ...rings];
  const ring: NewRing = {
    ...{ name, promotesFrom, hostnames: asked.hostnames },
    namespace: asked.namespace ?? (withoutOverlay ? undefined : namespaceLikeOthers(name, order)),
    branch: asked.branch ?? (await branchLikeOthers(repository, source, rings)),
  };
  const text = newRingText(ring);
  const overlay =
    withoutOverlay === undefined ? newOverlayFiles(name, ring.namespace ?? name, ring.branch) : {};
  const lock =
    source === undefined
      ? await lockOfModules(repository, files, name)
      : { ...requireLock(files, source.name).lock, ring: name };
  const places = [
    ringFile(name),
    lockFile(name),
    ...(asked.overlay ? [overlayDirectory(name)] : []),
  ];
  const problems = [
    ...places.filter(isThere).map((path) => `${path} is there already`),
    ...takenNames(ring, rings, files.tenants?.tenants.values() ?? []),
  ];
  if (problems.length > 0) throw notAdded(name, problems);
  // The ring's own file comes last: there is a ring once that is there.
  const texts = { [lockFile(name)]: formatLock(lock), ...overlay, [ringFile(name)]: text };
  await writeAll(repository, texts);
  const hasOverlay = withoutOverlay === undefined;
  const written = [ringFile(name), lockFile(name), ...(hasOverlay ? [overlayDirectory(name)] : [])];
  const commit = `git add ${written.join(' ')} && git commit -m "Add the ring ${name}"`;
  const routes =
    ring.hostnames.length > 0 && isThere(routesDirectory) ? ['ringlock ring routes'] : [];
  return {
    ...{ ring, files: Object.keys(texts).sort(), modules: lock.modules.size, withoutOverlay },
    buildFrom: hasOverlay && source ? await overlayUsers(repository, source.name) : [],
    next: [commit, ...routes],
  };
}

function sourceNotGiven({ rings }: ManifestFiles) {
  return badInput(
    'ring-source-not-given',
    'where the versions of the ring come from: expected --promotes-from RING or --tracks modules, one of the two',
    { hint: `Rings there: ${[...rings.keys()].join(', ') || 'none'}.` },
  );
}

function notAdded(name: string, problems: readonly string[]) {
  return refused('ring-not-added', `${name} cannot be added: ${problems.join('; ')}`, {
    hint: 'Choose other names, or remove what is there first. Nothing was written.',
    details: { problems },
  });
}

async function branchLikeOthers(
  { topLevel }: GitRepository,
  source: Ring | undefined,
  rings: readonly Ring[],
): Promise<string> {
  const like = source ?? rings.find(({ tracking }) => tracking);
  if (like !== undefined) return like.branch;
  const { status, stdout } = await tryGit(topLevel, ['symbolic-ref', '--short', '--quiet', 'HEAD']);
  return status === 0 ? stdout.toString().trim() : 'main';
}

/** What `modules/` has; where another ring tracks it too, with that ring's packages. */
async function lockOfModules(
  repository: GitRepository,
  { rings, lockTexts }: ManifestFiles,
  name: string,
): Promise<Lock> {
  const { platform, modules } = await readPlatform(repository, await workTree(repository));
  const other = [...rings.values()].find((ring) => ring.tracking && lockTexts.has(ring.name));
  const text = other && lockTexts.get(other.name);
  const existing = other && text !== undefined ? parseLock(text, other.name) : undefined;
  return lockFromModules({ ring: { name, holds: new Map() }, platform, modules, existing });
}

/** All of them, or none: what was written goes when a later one fails. */
async function writeAll(
  { topLevel }: GitRepository,
  texts: Readonly<Record<string, string>>,
): Promise<void> {
  const made: string[] = [];
  try {
    for (const [path, text] of Object.entries(texts)) {
      const target = join(topLevel, path);
      const first = await mkdir(dirname(target), { recursive: true });
      if (first !== undefined) made.push(first);
      await writeFileAtomically(target, text);
      made.push(target);
    }
  } catch (error) {
    for (const path of made.reverse()) await rm(path, { recursive: true, force: true });
    throw diskFailed(error, topLevel);
  }
}
