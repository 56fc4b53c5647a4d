import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../../store/atomic-file.ts';

/**
 * Since when the database has been away, also for a process that lives for one pass only: kept in a
 * file while it lasts.
 */
export class DatabaseAbsence {
  readonly #directory: string;
  #since: number | undefined;
  #isKnownToBeHere = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async begin(): Promise<void> {
    this.#isKnownToBeHere = false;
    if (this.#since !== undefined) return;
    this.#since = (await this.#read()) ?? Date.now();
    await mkdir(this.#directory, { recursive: true });
    await writeFileAtomically(this.#path, `${new Date(this.#since).toISOString()}\n`);
  }

  async end(): Promise<void> {
    if (this.#isKnownToBeHere) return;
    await rm(this.#path, { force: true });
    this.#since = undefined;
    this.#isKnownToBeHere = true;
  }

  /** In ms; a clock that was put back makes it shorter, never negative. */
  async lastsFor(): Promise<number> {
    await this.begin();
    return Math.max(0, Date.now() - (this.#since ?? Date.now()));
  }

  get #path(): string {
    return join(this.#directory, 'database-away-since');
  }

  async #read(): Promise<number | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => '');
    const since = Date.parse(text.trim());
    return Number.isFinite(since) && since <= Date.now() ? since : undefined;
  }
}
