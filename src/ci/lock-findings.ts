import type { GitRepository } from '../git/git-command.ts';
import { checkPinnedLocks, findUnreachablePins } from '../git/pinned-check.ts';
import type { PlatformSnapshot } from '../git/platform-snapshot.ts';
import { readReleased } from '../git/released-bytes.ts';
import { taggedCommits } from '../git/tagged-commits.ts';
import { planLocks, type RingLock } from '../git/write-locks.ts';
import { lockFile } from '../repo/names.ts';
import { hasConflictMarkers, lineFinder } from '../repo/source-text.ts';
import type { CiRange } from './ci-range.ts';
import type { CiFinding } from './finding.ts';

/**
 * What is wrong with the locks of a change: a tracking ring's that is not what modules/ says, conflict
 * markers, and of the entries that it gives to pinned rings the bytes, and whether a server keeps them.
 *
 * @throws what planLocks() throws
 */
export async function findLockProblems(
  repository: GitRepository,
  range: CiRange,
): Promise<CiFinding[]> {
  const { snapshot, base, deployRefs } = range;
  const conflicted = [...snapshot.rings.keys()].filter((ring) =>
    hasConflictMarkers(snapshot.lockTexts.get(ring) ?? ''),
  );
  const found = [
    ...conflicted.map((ring) => conflictFinding(snapshot, ring)),
    ...(await staleLocks(repository, snapshot, conflicted)),
  ];
  if (conflicted.length > 0) return found;
  const asked = [...snapshot.modules.values()].map(({ alias, manifest, path }) => ({
    ...{ alias, path },
    version: manifest.version,
  }));
  const released = await readReleased(repository, deployRefs, asked);
  const kept = [
    ...deployRefs.map(({ oid }) => oid),
    ...(range.event === 'push' ? [range.head] : []),
    ...(await taggedCommits(repository)),
  ];
  for (const text of await checkPinnedLocks(repository, snapshot, base, released)) {
    found.push(pinFinding(snapshot, 'pin-bytes', text));
  }
  for (const text of await findUnreachablePins(repository, snapshot, base, kept)) {
    found.push(pinFinding(snapshot, 'pin-unreachable', text));
  }
  return found;
}

async function staleLocks(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  conflicted: readonly string[],
): Promise<CiFinding[]> {
  if (![...snapshot.rings.values()].some(({ ring }) => ring.tracking)) return [];
  // Of a pinned lock with conflict markers nothing can be told but those.
  const lockTexts = new Map(
    [...snapshot.lockTexts].filter(
      ([ring]) => !conflicted.includes(ring) || isTracking(snapshot, ring),
    ),
  );
  const locks = await planLocks(repository, { ...snapshot, lockTexts });
  return locks
    .filter(({ ring }) => ring.tracking && !conflicted.includes(ring.name))
    .flatMap((lock) => staleFindings(snapshot, lock));
}

function isTracking({ rings }: PlatformSnapshot, name: string): boolean {
  return rings.get(name)?.ring.tracking === true;
}

function staleFindings(snapshot: PlatformSnapshot, lock: RingLock): CiFinding[] {
  const lineOf = lineFinder(snapshot.lockTexts.get(lock.ring.name) ?? '');
  return lock.differences.map(({ alias, message }) => ({
    ...{ check: 'lock-stale', severity: 'error', alias, file: lock.file, files: [] },
    line: lineOf(alias === undefined ? [] : ['modules', alias]) ?? 1,
    message: `${lock.file} is not what modules/ says: ${message}`,
    mend: `ringlock lock && git commit ${lock.file}`,
  }));
}

function conflictFinding({ lockTexts }: PlatformSnapshot, ring: string): CiFinding {
  const text = lockTexts.get(ring) ?? '';
  const file = lockFile(ring);
  return {
    ...{ check: 'lock-conflict', severity: 'error', alias: undefined, file, files: [] },
    line: text.slice(0, text.search(/^<{7}/m)).split('\n').length,
    message: `${file} was committed with conflict markers`,
    mend: `ringlock lock && git commit ${file}`,
  };
}

/** A sentence of pinned-check.ts: `<lock>: <alias> <version> …`, and what to do on a line of its own. */
function pinFinding(snapshot: PlatformSnapshot, check: string, text: string): CiFinding {
  const [message = '', ...rest] = text.split('\n  → ');
  const [, file = '', ring = '', alias = ''] =
    /^(manifests\/([a-z0-9-]+)\.lock\.json): ([a-z0-9-]+) /.exec(message) ?? [];
  return {
    ...{ check, severity: 'error', alias, file, message, files: [] },
    line: lineFinder(snapshot.lockTexts.get(ring) ?? '')(['modules', alias]) ?? 1,
    mend: rest.length > 0 ? rest.join(' ') : undefined,
  };
}
