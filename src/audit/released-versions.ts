import type pg from 'pg';
import { RinglockError } from '../errors.ts';
import { type Cursor, journalStart, readJournal } from './journal.ts';

/** Where the bytes of a version were first recorded. */
export interface ReleasedVersion {
  readonly alias: string;
  readonly version: string;
  /** `sha256:<hex>`. */
  readonly sha256: string;
  readonly ring: string;
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly by: string;
}

type VersionName = Pick<ReleasedVersion, 'alias' | 'version'>;

/** What Postgres has of these versions, in whatever ring it was first. */
export async function readReleasedVersions(
  client: pg.Client,
  versions: readonly VersionName[],
): Promise<ReleasedVersion[]> {
  const { rows } = await client.query<ReleasedVersion & { at: Date | string }>(firstRecords, [
    versions.map(({ alias }) => alias),
    versions.map(({ version }) => version),
  ]);
  return rows.map((row) => ({ ...row, at: new Date(row.at).toISOString() }));
}

const firstRecords = `
select distinct on (alias, version) alias, version, content_hash as sha256, ring, created_at as at,
  created_by as by
from module_versions
where (alias, version) in (select * from unnest($1::text[], $2::text[]))
order by alias, version, created_at, id`;

/** What a root's own journal has recorded: read once, then only what has been added. */
export class JournalReleases {
  readonly #directory: string;
  readonly #first = new Map<string, ReleasedVersion>();
  #cursor: Cursor = journalStart;

  /** @param directory `<root>/audit` */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async find(versions: readonly VersionName[]): Promise<ReleasedVersion[]> {
    await this.#catchUp();
    return versions.flatMap((version) => this.#first.get(nameOf(version)) ?? []);
  }

  async #catchUp(): Promise<void> {
    try {
      for await (const { event, cursor } of readJournal(this.#directory, this.#cursor)) {
        const { action, module: alias, to: version, digest: sha256, outcome } = event;
        this.#cursor = cursor;
        if (outcome !== 'succeeded' || !installing.has(action)) continue;
        if (alias === null || version === null || sha256 === null) continue;
        const name = nameOf({ alias, version });
        if (this.#first.has(name)) continue;
        const { ring, time: at, actor } = event;
        this.#first.set(name, { alias, version, sha256, ring, at, by: actor.name });
      }
    } catch (error) {
      // What cannot be read any more is found, and said, by whoever opens the journal.
      if (!(error instanceof RinglockError)) throw error;
    }
  }
}

const installing: ReadonlySet<string> = new Set(['install', 'upgrade', 'downgrade', 'repair']);

function nameOf({ alias, version }: VersionName): string {
  return `${alias}@${version}`;
}
