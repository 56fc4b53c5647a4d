import { ringOfLockFile } from '../repo/names.ts';
import { type GitRepository, runGitBytes } from './git-command.ts';
import { type ObjectBatch, withObjects } from './object-batch.ts';

/** The bytes that a version was released with, and where that is written. */
export interface ReleasedBytes {
  readonly sha256: string;
  /** Git tree object id, as the lock gives it; null in a reference lock. */
  readonly tree: string | null;
  /** The commit whose lock, or tag, first said so. */
  readonly commit: string;
  /** The lock's path, or the module's for a tag. */
  readonly path: string;
}

/** What the first-parent history up to a tip has released. */
export interface ReleaseWalk {
  readonly tip: string;
  /** Blob id of each lock at the tip, by path. */
  readonly locks: ReadonlyMap<string, string>;
  /** Alias → version → released bytes. */
  readonly versions: ReadonlyMap<string, ReadonlyMap<string, ReleasedBytes>>;
}

export const emptyWalk: ReleaseWalk = { tip: '', locks: new Map(), versions: new Map() };

/** How many locks are asked of git at once: bounds the memory, keeps the pipe full. */
const window = 256;

/**
 * Continues a walk to a new tip whose first-parent history leads to the walk's own. A version counts
 * as released anew when a lock's entry changes to it, not for as long as the entry stays.
 */
export async function walkLocks(
  repository: GitRepository,
  tip: string,
  from: ReleaseWalk,
): Promise<ReleaseWalk> {
  const changes = await lockChanges(repository, from.tip === '' ? tip : `${from.tip}..${tip}`);
  const locks = new Map(from.locks);
  const versions = new Map([...from.versions].map(([alias, known]) => [alias, new Map(known)]));
  const entries = new Map<string, Entries>();
  await withObjects(repository, async (objects) => {
    if (changes.length > 0) {
      for (const [path, oid] of from.locks) entries.set(path, await readEntries(objects, oid));
    }
    for (let start = 0; start < changes.length; start += window) {
      const some = changes.slice(start, start + window);
      const read = await Promise.all(some.map(({ oid }) => readEntries(objects, oid)));
      for (const [index, { path, oid, commit }] of some.entries()) {
        const now = read[index] ?? {};
        release(versions, entries.get(path) ?? {}, now, commit, path);
        entries.set(path, now);
        if (/^0+$/.test(oid)) locks.delete(path);
        else locks.set(path, oid);
      }
    }
  });
  return { tip, locks, versions };
}

interface LockChange {
  readonly commit: string;
  readonly path: string;
  /** The lock's blob after the commit; zeros when it was deleted. */
  readonly oid: string;
}

/** Oldest first. */
async function lockChanges(repository: GitRepository, range: string): Promise<LockChange[]> {
  const output = await runGitBytes(repository.topLevel, [
    'log',
    '--first-parent',
    // Before git 2.31 --first-parent alone shows no difference for a merge.
    '-m',
    '--reverse',
    '--raw',
    '--no-renames',
    '--no-abbrev',
    '-z',
    '--format=%x01%H',
    range,
    '--',
    'manifests',
  ]);
  const changes: LockChange[] = [];
  let commit = '';
  let oid = '';
  for (const token of output.toString().split('\0')) {
    const text = token.trim();
    if (text.startsWith('\u0001')) commit = text.slice(1);
    else if (text.startsWith(':')) oid = text.split(' ')[3] ?? '';
    else if (ringOfLockFile(text) !== undefined) changes.push({ commit, path: text, oid });
  }
  return changes;
}

type Entries = Readonly<
  Record<string, { readonly version?: unknown; readonly sha256?: unknown; readonly tree?: unknown }>
>;

/** The entries of a lock; none for one that is deleted or cannot be read, as old locks may not. */
async function readEntries(objects: ObjectBatch, oid: string): Promise<Entries> {
  if (/^0+$/.test(oid)) return {};
  const { content } = await objects.read(oid);
  try {
    const { modules } = JSON.parse(content.toString()) as { modules?: Entries | null };
    return typeof modules === 'object' && modules !== null ? modules : {};
  } catch {
    return {};
  }
}

function release(
  versions: Map<string, Map<string, ReleasedBytes>>,
  before: Entries,
  now: Entries,
  commit: string,
  path: string,
): void {
  for (const alias in now) {
    const { version, sha256, tree } = now[alias] ?? {};
    if (typeof version !== 'string' || typeof sha256 !== 'string') continue;
    const former = before[alias];
    if (former?.version === version && former.sha256 === sha256) continue;
    const known = versions.get(alias) ?? new Map<string, ReleasedBytes>();
    versions.set(alias, known);
    // Promoting a version to another ring releases nothing: the first commit stays on record.
    if (known.get(version)?.sha256 === sha256) continue;
    known.set(version, { sha256, tree: typeof tree === 'string' ? tree : null, commit, path });
  }
}
