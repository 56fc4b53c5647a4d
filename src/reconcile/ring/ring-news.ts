import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { connectDatabase, endClient } from '../../audit/database.ts';
import { refuseTransactionPooler } from '../../audit/pooler.ts';
import { RinglockError } from '../../errors.ts';
import type { Log } from '../log.ts';

/** Apart from the channel of operations under way, which only their members need to hear. */
const channel = 'ringlock_news';
const longestPauseMs = 60_000;

/** Tells every replica of a ring to look: a new commit, a hold, a retry. */
export async function announceNews(client: pg.Client, ring: string): Promise<void> {
  await client.query('select pg_notify($1, $2)', [channel, ring]);
}

/**
 * Calls `onNews` whenever one of the ring's replicas announces something, until aborted. A connection
 * that is lost is made again; what was missed meanwhile is found by the next poll.
 */
export async function listenForNews(
  databaseUrl: () => Promise<string | undefined>,
  ring: string,
  onNews: () => void,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let pause = 1_000;
  while (!signal.aborted) {
    try {
      const url = await databaseUrl();
      if (url === undefined) return;
      await listenOnce(url, ring, onNews, signal, () => {
        pause = 1_000;
      });
    } catch (error) {
      if (error instanceof RinglockError && error.code === 'database-transaction-pooler') {
        log.warn(`polling only: ${error.message}`);
        return;
      }
    }
    await delay(pause * (0.8 + Math.random() * 0.4), undefined, { signal }).catch(() => {});
    pause = Math.min(pause * 2, longestPauseMs);
  }
}

async function listenOnce(
  url: string,
  ring: string,
  onNews: () => void,
  signal: AbortSignal,
  onListening: () => void,
): Promise<void> {
  const client = await connectDatabase(url, { signal });
  let stop = () => {};
  try {
    await refuseTransactionPooler(client, url);
    const ended = new Promise<void>((resolve) => {
      stop = resolve;
      client.once('end', stop);
      client.once('error', stop);
      signal.addEventListener('abort', stop, { once: true });
    });
    client.on('notification', ({ payload }) => {
      if (payload === ring) onNews();
    });
    await client.query(`listen ${channel}`);
    onListening();
    await ended;
  } finally {
    signal.removeEventListener('abort', stop);
    await endClient(client);
  }
}
