import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { badInput, refused } from '../errors.ts';
import { formatLock, type Lock, parseLock } from '../repo/lock.ts';
import { parseConflictedLock } from '../repo/lock-conflict.ts';
import { mergeLocks } from '../repo/lock-merge.ts';
import {
  findLockDifferences,
  type LockDifference,
  lockFromModules,
  lockWithModule,
} from '../repo/lock-writing.ts';
import { lockFile } from '../repo/names.ts';
import type { Ring } from '../repo/ring.ts';
import { hasConflictMarkers } from '../repo/source-text.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { type GitRepository, runGit } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import { resolvePinnedLock } from './pinned-conflict.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import { findModule, trackingRings, unknownModule } from './ring-selection.ts';

export interface LockRequest {
  /** Undefined: every tracking ring, and every pinned one whose lock has conflict markers. */
  readonly ring?: string | undefined;
  /** Alias or directory: only this entry. */
  readonly module?: string | undefined;
  /** Also writes a pinned ring's lock from `modules/`. */
  readonly force?: boolean;
}

/** A ring's lock as it is and as it should be. */
export interface RingLock {
  readonly ring: Ring;
  /** From the repository's top. */
  readonly file: string;
  /** What is there, where it can be read. */
  readonly before: Lock | undefined;
  readonly lock: Lock;
  /** The bytes to write. */
  readonly text: string;
  /** Why what is there is not right; empty when it is. */
  readonly differences: readonly LockDifference[];
}

/**
 * Decides what the locks have to be; writes nothing.
 *
 * @throws RinglockError `pinned-ring`, `no-tracking-ring`, `unknown-ring`, `unknown-module`,
 *   `hold-mismatch`, `lock-conflict`
 */
export async function planLocks(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  request: LockRequest = {},
): Promise<RingLock[]> {
  const rings = ringsToLock(snapshot, request);
  return Promise.all(rings.map((ring) => planLock(repository, snapshot, ring, request)));
}

function ringsToLock(snapshot: PlatformSnapshot, { ring: name, force }: LockRequest): Ring[] {
  const isConflicted = ({ name: ring }: Ring) =>
    hasConflictMarkers(snapshot.lockTexts.get(ring) ?? '');
  if (name === undefined) {
    const conflicted = [...snapshot.rings.values()].filter(
      ({ ring }) => !ring.tracking && isConflicted(ring),
    );
    return [...trackingRings(snapshot), ...conflicted].map(({ ring }) => ring);
  }
  const { ring } = requireRing(snapshot, name);
  if (ring.tracking || force === true || isConflicted(ring)) return [ring];
  const from = ring.promotesFrom ?? '<ring>';
  throw refused('pinned-ring', `${name} is a pinned ring: its lock does not follow modules/`, {
    hint: `Promote with \`ringlock ring promote <alias> --from ${from} --to ${name}\`, check it with \`ringlock verify --ring ${name}\`, or pin what is in modules/ with --force.`,
  });
}

async function planLock(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  ring: Ring,
  { module, force = false }: LockRequest,
): Promise<RingLock> {
  const text = snapshot.lockTexts.get(ring.name);
  const conflicted = text !== undefined && hasConflictMarkers(text);
  const existing = text === undefined ? undefined : readLock(text, ring.name);
  const follows = ring.tracking || force;
  const lock = follows
    ? followModules(snapshot, ring, existing, module)
    : await resolvePinnedLock(repository, ring.name, text ?? '');
  const file = lockFile(ring.name);
  const differences = conflicted
    ? [conflictIn(file)]
    : findLockDifferences(lock, existing && { lock: existing, text: text ?? '' });
  return { ring, file, before: existing, lock, text: formatLock(lock), differences };
}

function followModules(
  snapshot: PlatformSnapshot,
  ring: Ring,
  existing: Lock | undefined,
  module: string | undefined,
): Lock {
  // Only a promotion moves a pinned ring's platform.
  const platform = ring.tracking ? snapshot.platform : (existing?.platform ?? snapshot.platform);
  const writing = { ring, platform, modules: snapshot.modules, existing };
  if (module === undefined) return lockFromModules(writing);
  const alias = findModule(snapshot.modules, module)?.alias ?? aliasInLock(existing, module);
  if (alias === undefined) {
    throw unknownModule(module, [...snapshot.modules.keys(), ...(existing?.modules.keys() ?? [])]);
  }
  return lockWithModule(writing, alias);
}

function aliasInLock(lock: Lock | undefined, name: string): string | undefined {
  if (lock?.modules.has(name)) return name;
  return [...(lock?.modules ?? [])].find(([, { directory }]) => directory === name)?.[0];
}

/** The lock, or of one with conflict markers what both sides agree on. */
function readLock(text: string, ring: string): Lock {
  if (!hasConflictMarkers(text)) return parseLock(text, ring);
  return mergeLocks({ base: undefined, ...parseConflictedLock(text, ring) }).lock;
}

function conflictIn(file: string): LockDifference {
  const message = `${file} has conflict markers`;
  return { kind: 'conflict', alias: undefined, found: undefined, expected: undefined, message };
}

/**
 * Writes locks that differ; a work tree file that is right is not touched.
 *
 * @param stage also brings them into the index
 * @returns the files written, from the repository's top
 */
export async function writeLocks(
  repository: GitRepository,
  locks: readonly RingLock[],
  stage: boolean,
): Promise<string[]> {
  const written: string[] = [];
  for (const { file, text } of locks) {
    const target = join(repository.topLevel, file);
    if ((await readIfPresent(target)) === text) continue;
    await mkdir(dirname(target), { recursive: true });
    await writeFileAtomically(target, text);
    written.push(file);
  }
  if (stage && locks.length > 0) {
    await runGit(repository.topLevel, ['add', '--', ...locks.map(({ file }) => file)]);
  }
  return written;
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw badInput('unreadable-file', `${file} cannot be read: ${(error as Error).message}`);
  }
}
