import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import { changesKey, type FailedSet, type LocalHold } from '../../plan/desired-lock.ts';
import { formatLock, type Lock, parseLock } from '../../repo/lock.ts';
import { writeFileAtomically } from '../../store/atomic-file.ts';
import { diskFailed, isAbsent } from '../../store/disk-error.ts';
import { setAside } from '../../store/set-aside.ts';
import type { Log } from '../log.ts';

const fileName = 'ring-memory.json';

/** What a ring remembers beyond its lock; a null value is something forgotten on purpose. */
interface MemoryRecord {
  readonly kind: 'hold' | 'failure' | 'good' | 'anchor' | 'verified' | 'tenants';
  readonly key: string;
  readonly value: unknown;
  /** RFC 3339, UTC; of two records of one kind and key the later holds. */
  readonly at: string;
}

/** The lock that a ring last ran well. */
export interface GoodLock {
  readonly lock: Lock;
  /** `sha256:<hex>` of the desired lock that the ring's operation had. */
  readonly digest: string;
  readonly commit: string | null;
}

/** The commit up to which signatures were verified. */
export interface VerifiedCommit {
  readonly commit: string;
  /** Who signed it; null where a pod's flag let it pass, or it was taken as it was. */
  readonly by: string | null;
  /** Fingerprint of the key. */
  readonly key: string | null;
  readonly branch: string;
  readonly repository?: string;
}

interface RingAnchor {
  readonly commit: string;
  readonly branch: string;
  /** Absent from what a version before wrote. */
  readonly repository?: string;
}

interface KnownTenants {
  readonly text: string;
  /** Aliases that the ring had then. */
  readonly installed: readonly string[];
  readonly next?: { readonly text: string; readonly begun: readonly string[] };
}

/**
 * What a ring knows: holds, failed sets, the last good lock, the commit it is at (DESIGN section 6). Kept
 * in `<root>/ring-memory.json` and, for all replicas, in Postgres; the two are merged record by record,
 * so that what was said while the database was away reaches it, and a fresh disk forgets nothing.
 */
export class RingMemory {
  readonly #path: string | undefined;
  readonly #ring: string;
  readonly #now: () => Date;
  #records: ReadonlyMap<string, MemoryRecord>;

  private constructor(
    path: string | undefined,
    ring: string,
    now: () => Date,
    records: ReadonlyMap<string, MemoryRecord>,
  ) {
    this.#path = path;
    this.#ring = ring;
    this.#now = now;
    this.#records = records;
  }

  /**
   * A file that is lost is an empty memory: Postgres or the next operation fills it. One that is broken, or
   * another ring's, is kept aside, since a hold may have been in it.
   */
  static async open(
    root: string,
    ring: string,
    now: () => Date,
    log: Pick<Log, 'warn'>,
  ): Promise<RingMemory> {
    const path = join(root, fileName);
    const records = await readRecords(path, ring);
    if (records !== undefined) return new RingMemory(path, ring, now, records);
    const to = await setAside(root, fileName, now());
    log.warn(
      'ring-memory.json is not to be read, or of another ring; what the ring knows comes from Postgres, if at all',
      {
        to,
      },
    );
    return new RingMemory(path, ring, now, new Map());
  }

  /** A memory that is kept in no file: for a person who speaks to the ring's database. */
  static without(ring: string, now: () => Date): RingMemory {
    return new RingMemory(undefined, ring, now, new Map());
  }

  /** By alias. */
  get holds(): ReadonlyMap<string, LocalHold> {
    return new Map(this.#valuesOf<LocalHold>('hold'));
  }

  /** What was last said of each module's hold, and when; null: it was ended. */
  get holdRecords(): readonly { alias: string; at: string; hold: LocalHold | null }[] {
    return [...this.#records.values()].flatMap(({ kind, key, value, at }) =>
      kind === 'hold' ? [{ alias: key, at, hold: value as LocalHold | null }] : [],
    );
  }

  get failures(): readonly FailedSet[] {
    return this.#valuesOf<FailedSet>('failure').map(([, value]) => value);
  }

  get good(): GoodLock | undefined {
    const value = this.#value<{ lock: string; digest: string; commit: string | null }>('good');
    if (value === undefined) return undefined;
    return { ...value, lock: parseLock(value.lock, this.#ring, 'the last good lock') };
  }

  /** The commit that the ring is known to be at on a branch. */
  anchor(branch: string): string | undefined {
    return this.#value<{ commit: string }>('anchor', branch)?.commit;
  }

  /** The commit of a branch whose signature, and what led to it, was verified last. */
  verified(branch: string): VerifiedCommit | undefined {
    const verified = this.#value<Omit<VerifiedCommit, 'branch'>>('verified', branch);
    return verified && { ...verified, branch };
  }

  /** The same of whatever branch it was verified on last. */
  get newestVerified(): VerifiedCommit | undefined {
    return this.#newest<VerifiedCommit>('verified');
  }

  /** As anchor(), of whatever branch the ring went to last. */
  get newestAnchor(): RingAnchor | undefined {
    return this.#newest<RingAnchor>('anchor');
  }

  /** The tenants.yaml whose events were fired last, and what was begun of the next one. */
  get tenants(): KnownTenants | undefined {
    return this.#value<KnownTenants>('tenants');
  }

  hold(alias: string, hold: LocalHold): Promise<void> {
    return this.#put('hold', alias, hold);
  }

  /** @returns whether there was a hold */
  async unhold(alias: string): Promise<boolean> {
    if (!this.holds.has(alias)) return false;
    await this.#put('hold', alias, null);
    return true;
  }

  markFailed(failed: FailedSet): Promise<void> {
    return this.#put('failure', changesKey(failed.changes), failed);
  }

  /**
   * Forgets that sets of versions failed: all, or those with one of the modules.
   *
   * @returns what was forgotten
   */
  async retry(aliases: readonly string[]): Promise<FailedSet[]> {
    const forgotten = this.failures.filter(
      ({ changes }) => aliases.length === 0 || changes.some(({ alias }) => aliases.includes(alias)),
    );
    for (const { changes } of forgotten) await this.#put('failure', changesKey(changes), null);
    return forgotten;
  }

  markGood(good: GoodLock): Promise<void> {
    return this.#put('good', '', goodValue(good));
  }

  moveAnchor(branch: string, commit: string, repository: string): Promise<void> {
    const newest = this.newestAnchor;
    const isSame = newest?.branch === branch && newest.commit === commit;
    // A ring's operation moves it too, and does not know by which URL.
    if (isSame && newest.repository !== undefined) return Promise.resolve();
    return this.#put('anchor', branch, { commit, repository });
  }

  moveVerified({ branch, ...verified }: VerifiedCommit): Promise<void> {
    const before = this.verified(branch);
    const { commit, by, key } = verified;
    if (before?.commit === commit && before.by === by && before.key === key) {
      return Promise.resolve();
    }
    return this.#put('verified', branch, verified);
  }

  markTenants(known: Pick<KnownTenants, 'text' | 'installed'>): Promise<void> {
    return this.#put('tenants', '', known);
  }

  /**
   * Notes that an event on the way to the next tenants.yaml is about to be fired.
   *
   * @returns false when that was noted before
   */
  async beginTenantEvent(next: string, event: string): Promise<boolean> {
    const known = this.tenants;
    if (known === undefined) return true;
    const begun = known.next?.text === next ? known.next.begun : [];
    if (begun.includes(event)) return false;
    await this.#put('tenants', '', { ...known, next: { text: next, begun: [...begun, event] } });
    return true;
  }

  /**
   * Merges with what the ring's other replicas know.
   *
   * @returns whether anything came that was not known here
   */
  async sync(client: pg.Client): Promise<boolean> {
    const { rows } = await client.query<MemoryRecord & { at: Date }>(
      'select kind, key, value, at from ring_memory where ring = $1',
      [this.#ring],
    );
    const theirs = new Map(rows.map((row) => [recordKey(row), { ...row, at: isoTime(row.at) }]));
    const merged = latest(this.#records, theirs);
    for (const record of newerThan(theirs, merged)) await writeRecord(client, this.#ring, record);
    return this.#take(merged);
  }

  /**
   * The same through a directory that replicas of one host share. Whoever calls has locked it.
   *
   * @returns whether anything came that was not known here
   */
  async syncThroughDirectory(directory: string): Promise<boolean> {
    const shared = new RingMemory(
      join(directory, fileName),
      this.#ring,
      this.#now,
      (await readRecords(join(directory, fileName))) ?? new Map(),
    );
    const merged = latest(this.#records, shared.#records);
    if (newerThan(shared.#records, merged).length > 0) await shared.#write(merged);
    return this.#take(merged);
  }

  async #take(merged: ReadonlyMap<string, MemoryRecord>): Promise<boolean> {
    const isNews = [...merged].some(([key, record]) => !isSame(this.#records.get(key), record));
    if (isNews) await this.#write(merged);
    return isNews;
  }

  #valuesOf<T>(kind: MemoryRecord['kind']): [string, T][] {
    return [...this.#records.values()].flatMap((record): [string, T][] =>
      record.kind === kind && record.value !== null ? [[record.key, record.value as T]] : [],
    );
  }

  /** The record of a kind, whose keys are branches, that was written last. */
  #newest<T extends { readonly branch: string }>(wanted: string): T | undefined {
    const found = [...this.#records.values()].filter(
      ({ kind, value }) => kind === wanted && value !== null,
    );
    const newest = found.sort((a, b) => (a.at < b.at ? 1 : -1))[0];
    return newest && ({ ...(newest.value as object), branch: newest.key } as T);
  }

  #value<T>(kind: MemoryRecord['kind'], key = ''): T | undefined {
    return (this.#records.get(recordKey({ kind, key }))?.value ?? undefined) as T | undefined;
  }

  #put(kind: MemoryRecord['kind'], key: string, value: unknown): Promise<void> {
    // What is said later holds, also when the clock was put back meanwhile; of branches, over all of them.
    const before = [...this.#records.values()].filter(
      (record) => record.kind === kind && (record.key === key || isOfBranches(kind)),
    );
    const least = before.map((record) => Date.parse(record.at) + 1);
    const at = new Date(Math.max(this.#now().getTime(), ...least)).toISOString();
    const record = { kind, key, value, at };
    return this.#write(new Map(this.#records).set(recordKey(record), record));
  }

  async #write(records: ReadonlyMap<string, MemoryRecord>): Promise<void> {
    const file = { format: 1, ring: this.#ring, records: [...records.values()] };
    if (this.#path !== undefined) {
      await writeFileAtomically(this.#path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o644 });
    }
    this.#records = records;
  }
}

/** Whether the keys of a kind are branches, and the newest of all is asked for. */
function isOfBranches(kind: MemoryRecord['kind']): boolean {
  return kind === 'anchor' || kind === 'verified';
}

type Records = ReadonlyMap<string, MemoryRecord>;

/** Of two of the same instant, the one that is shared holds, so that all replicas come to have it. */
function latest(own: Records, shared: Records): Records {
  const merged = new Map(own);
  for (const [key, record] of shared) {
    if ((own.get(key)?.at ?? '') <= record.at) merged.set(key, record);
  }
  return merged;
}

function isSame(one: MemoryRecord | undefined, other: MemoryRecord): boolean {
  // Postgres has an order of its own for the properties of a document.
  return one?.at === other.at && isDeepStrictEqual(one.value, other.value);
}

function newerThan(known: Records, records: Records): MemoryRecord[] {
  return [...records]
    .filter(([key, { at }]) => (known.get(key)?.at ?? '') < at)
    .map(([, record]) => record);
}

/** Writes what the ring has decided: later than whatever is there of it, by the database's clock. */
export async function overwriteRecord(
  client: pg.Client,
  ring: string,
  kind: MemoryRecord['kind'],
  key: string,
  value: object,
): Promise<void> {
  await client.query(
    `insert into ring_memory as m (ring, kind, key, value, at)
     values ($1, $2, $3, $4, greatest(date_trunc('milliseconds', now()),
       (select max(at) + interval '1 millisecond' from ring_memory
        where ring = $1 and kind = $2 and (key = $3 or $5))))
     on conflict (ring, kind, key) do update set value = excluded.value,
       at = greatest(excluded.at, m.at + interval '1 millisecond')`,
    [ring, kind, key, JSON.stringify(value), isOfBranches(kind)],
  );
}

/** Writes one record for all replicas, unless a later one is there. */
async function writeRecord(
  client: pg.Client,
  ring: string,
  { kind, key, value, at }: MemoryRecord,
): Promise<void> {
  await client.query(
    `insert into ring_memory as m (ring, kind, key, value, at) values ($1, $2, $3, $4, $5)
     on conflict (ring, kind, key) do update set value = excluded.value, at = excluded.at
     where excluded.at > m.at`,
    [ring, kind, key, value === null ? null : JSON.stringify(value), at],
  );
}

export function goodValue({ lock, digest, commit }: GoodLock): object {
  return { lock: formatLock(lock), digest, commit };
}

function recordKey({ kind, key }: Pick<MemoryRecord, 'kind' | 'key'>): string {
  return `${kind} ${key}`;
}

function isoTime(at: Date | string): string {
  return new Date(at).toISOString();
}

/** @returns undefined when the file is no memory, or that of another ring than the one given */
async function readRecords(path: string, ring?: string): Promise<Records | undefined> {
  try {
    const file = JSON.parse(await readFile(path, 'utf8')) as {
      readonly ring: string;
      readonly records: MemoryRecord[];
    };
    if (ring !== undefined && file.ring !== ring) return undefined;
    return new Map(file.records.map((record) => [recordKey(record), record]));
  } catch (error) {
    if (isAbsent(error)) return new Map();
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw diskFailed(error, path);
  }
}
