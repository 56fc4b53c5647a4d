import { join } from 'node:path';
import {
  JournalReleases,
  type ReleasedVersion,
  readReleasedVersions,
} from '../audit/released-versions.ts';
import { RinglockError, refused } from '../errors.ts';
import { type Lock, samePin } from '../repo/lock.ts';
import type { Root } from '../store/root.ts';
import type { RingMembership } from './ring/ring-membership.ts';

/**
 * Invariant 5: the bytes of (alias, version) never change. What was recorded first is asked from Postgres,
 * which knows every ring and outlives a disk, from the generations on this disk, and from its journal, which
 * remembers versions that were removed and answers when the database is away.
 */
export class ReleasedBytes {
  readonly #root: Root;
  readonly #membership: RingMembership;
  readonly #journal: JournalReleases;

  constructor(root: Root, membership: RingMembership) {
    this.#root = root;
    this.#membership = membership;
    this.#journal = new JournalReleases(join(root.path, 'audit'));
  }

  /**
   * Looks at what a lock changes of the generation that serves.
   *
   * @throws RinglockError `released-bytes-changed`
   */
  async refuseOthers(lock: Lock): Promise<void> {
    const serving = (await this.#root.current())?.lock;
    const wanted = [...lock.modules].flatMap(([alias, { version, sha256 }]) => {
      const served = serving?.modules.get(alias);
      const isServed = served !== undefined && samePin(served, { version, sha256 });
      return isServed ? [] : [{ alias, version, sha256 }];
    });
    if (wanted.length === 0) return;
    const digests = new Map(wanted.map(({ alias, sha256 }) => [alias, sha256]));
    for (const ask of [this.#inDatabase, this.#onDisk, this.#inJournal]) {
      for (const released of await ask.call(this, wanted)) {
        const { alias, sha256 } = released;
        const found = digests.get(alias);
        if (found !== undefined && found !== sha256) throw otherBytes(released, found);
      }
    }
  }

  async #inDatabase(wanted: readonly Wanted[]): Promise<ReleasedVersion[]> {
    if (this.#membership.connection !== 'database') return [];
    try {
      const ask = this.#membership.withClient((client) => readReleasedVersions(client, wanted));
      return (await ask) ?? [];
    } catch (error) {
      // Gone since it was last asked: the disk knows what this root ran.
      if (error instanceof RinglockError && error.exitCode === 3) return [];
      throw error;
    }
  }

  async #onDisk(wanted: readonly Wanted[]): Promise<ReleasedVersion[]> {
    const found: ReleasedVersion[] = [];
    for (const { lock, createdAt: at } of await this.#root.generations()) {
      for (const { alias, version } of wanted) {
        const known = lock.modules.get(alias);
        if (known?.version !== version) continue;
        found.push({ alias, version, sha256: known.sha256, ring: lock.ring, at, by: 'ringlock' });
      }
    }
    return found;
  }

  #inJournal(wanted: readonly Wanted[]): Promise<ReleasedVersion[]> {
    return this.#journal.find(wanted);
  }
}

interface Wanted {
  readonly alias: string;
  readonly version: string;
  readonly sha256: string;
}

function otherBytes({ alias, version, sha256, ring, at, by }: ReleasedVersion, found: string) {
  return refused(
    'released-bytes-changed',
    `the lock gives ${alias} ${version} the digest ${found}, but ${ring} ran that version with ${sha256} first (${at}, by ${by})`,
    {
      hint: `The bytes of a released version never change: give ${alias} the next version (ringlock bump ${alias}), lock it and commit.`,
      details: { alias, version, found, released: sha256, ring, at },
    },
  );
}
