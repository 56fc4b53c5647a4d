import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { generationDrift } from '../store/drift.ts';
import { readCurrentLink } from '../store/generation.ts';
import { generationPath } from '../store/layout.ts';
import type { Observed } from './observed.ts';

/**
 * Why this root serves neither its lock nor the last good one; undefined when it does. A commit that is
 * refused, a server that is away, a hold, an application that is not well: none of it is a reason, what
 * serves goes on serving.
 */
export async function whyNotReady({
  status,
  tally,
  root,
}: Pick<Observed, 'status' | 'tally' | 'root'>): Promise<string | undefined> {
  const { generation, state } = status();
  if (generation === null) return 'no generation serves yet';
  const unreadable = await whyUnreadable(root);
  if (unreadable !== undefined) return unreadable;
  // In a suspended ring a person may be at work on the disk: nothing is put back, and nothing judged.
  if (state === 'suspended') return undefined;
  for (const [alias, words] of tally.damage) {
    if (alias !== generationDrift)
      return `${alias} is not as locked, and was not put back: ${words}`;
  }
  return undefined;
}

/** What stands in the way of reading `current`, looked up anew each time. */
async function whyUnreadable(root: string): Promise<string | undefined> {
  try {
    const shown = await readCurrentLink(root);
    if (shown === undefined) return 'current is gone';
    await access(join(generationPath(root, shown), '.ringlock', 'generation.json'));
    return undefined;
  } catch (error) {
    return `current cannot be read: ${error instanceof Error ? error.message : error}`;
  }
}
