#!/usr/bin/env node
// The app's feed: order-feed.mjs [--since ISO-TIME] < ORDERS.json
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * The newest orders first, at most `limit`, with a cursor for the next request and an etag, so that
 * a phone on a slow network loads nothing twice.
 *
 * @param {{number: string, state: string, updated_at: string}[]} orders
 * @param {{since?: string, limit?: number}} [options]
 */
export function orderFeed(orders, { since, limit = 20 } = {}) {
  const newest = orders
    .filter(({ updated_at }) => since === undefined || updated_at > since)
    .sort((a, b) => b.updated_at.localeCompare(a.updated_at) || a.number.localeCompare(b.number))
    .slice(0, limit)
    .map(({ number, state, updated_at }) => ({ number, state, updated_at }));
  const etag = createHash('sha256').update(JSON.stringify(newest)).digest('hex').slice(0, 16);
  return { orders: newest, cursor: newest[0]?.updated_at ?? since ?? null, etag };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const at = process.argv.indexOf('--since');
  const options = at === -1 ? {} : { since: process.argv[at + 1] };
  const feed = orderFeed(JSON.parse(readFileSync(0, 'utf8')), options);
  process.stdout.write(`${JSON.stringify(feed, null, 2)}\n`);
}
