import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until the answer is there, or fails with what was waited for once the deadline has passed. */
export async function waitUntil<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 20_000,
): Promise<T> {
  const until = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > until) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`);
    await sleep(20);
  }
}
