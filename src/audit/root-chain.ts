import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { chainOfEvent } from './database-events.ts';
import { isWhole, readJournalLines } from './journal-events.ts';

/**
 * The name of a root's chain: the id of its first event. Of a journal whose oldest segments are gone, or
 * whose first line is no event any more, what Postgres or the note of what was delivered knows.
 */
export async function chainOfRoot(directory: string, client?: pg.Client): Promise<string | null> {
  for await (const line of readJournalLines(directory)) {
    if ('unfinishedBytes' in line || !isWhole(line)) break;
    if (line.event.sequence === 1) return line.event.id;
    const known = client && (await chainOfEvent(client, line.event.id));
    if (known !== undefined) return known;
    break;
  }
  return (await readDeliveredNote(directory)).chain;
}

/** What `outbox.json` says: how far a chain was delivered. */
export interface DeliveredNote {
  readonly chain: string | null;
  /** 0 when nothing is known. */
  readonly sequence: number;
  readonly hash: string | null;
}

/** It is only a note: one that is missing or damaged says nothing. */
export async function readDeliveredNote(directory: string): Promise<DeliveredNote> {
  try {
    const { root, cursor } = JSON.parse(await readFile(join(directory, 'outbox.json'), 'utf8'));
    const isKnown = typeof root === 'string' && Number.isSafeInteger(cursor?.sequence);
    if (isKnown) return { chain: root, sequence: cursor.sequence, hash: cursor.hash };
  } catch {
    // As if it were not there.
  }
  return { chain: null, sequence: 0, hash: null };
}
