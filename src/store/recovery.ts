import { lstat, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { removeUnfinished } from './atomic-file.ts';
import { listGenerationNumbers, readCurrentLink, readGeneration } from './generation.ts';
import type { Journal } from './journal.ts';
import {
  currentPath,
  generationPath,
  journalPath,
  type StoreContext,
  statusPath,
  switchesPath,
} from './layout.ts';
import { rootFileName } from './root-file.ts';
import { numbersEverShown } from './shown-before.ts';
import { cleanStaging, retireDirectory } from './staging.ts';
import { pointCurrentAt } from './switch-generation.ts';
import type { SwitchLog } from './switch-log.ts';
import type { VersionStore } from './version-store.ts';

/**
 * Brings a root to a state between two operations, wherever the process before was killed: staging
 * empty, `current` on a generation if it ever was on one, no generation that nobody asked for.
 *
 * @throws RinglockError `foreign-current`, `disk-full` and its like
 */
export async function recoverRoot(
  context: StoreContext,
  store: VersionStore,
  log: SwitchLog,
  journal: Journal,
): Promise<void> {
  await cleanStaging(context);
  const files = [statusPath, switchesPath, journalPath].map((path) => basename(path(context.root)));
  await removeUnfinished(context.root, [...files, rootFileName, 'ring-memory.json']);
  const ofRing = ['ring-steps.json', 'notified', 'database-away-since'];
  await removeUnfinished(join(context.root, 'ring'), ofRing);
  await store.tidy();
  const current = await restoreCurrent(context, log, journal);
  if (current !== undefined) await settle(context, log, current);
  await removeNeverShown(context, log, journal, current);
}

/**
 * Shows again what was shown last, when `current` is no longer there (a person's hand).
 *
 * @returns the number that is shown again, or undefined when `current` is there or nothing can be shown
 * @throws RinglockError `disk-full` and its like
 */
export async function restoreLostCurrent(
  context: StoreContext,
  log: SwitchLog,
  journal: Journal,
): Promise<number | undefined> {
  const found = await lstat(currentPath(context.root)).catch(() => undefined);
  if (found !== undefined) return undefined;
  return restoreCurrent(context, log, journal);
}

async function settle(context: StoreContext, log: SwitchLog, current: number): Promise<void> {
  if (!log.isLost) return log.settle(current);
  const numbers = await listGenerationNumbers(context.root);
  await log.rebuild(
    numbers.filter((number) => number < current),
    current,
  );
}

/** @returns the number that `current` shows from now on */
async function restoreCurrent(
  context: StoreContext,
  log: SwitchLog,
  journal: Journal,
): Promise<number | undefined> {
  const linked = await readCurrentLink(context.root);
  // A generation whose facts were changed still serves; the reconciler builds another beside it.
  if (linked !== undefined && (await isThere(context.root, linked))) return linked;
  const shown = [...(await numbersEverShown(context.root, log, journal))].sort((a, b) => b - a);
  // With nothing else left, a link that leads nowhere tells that something was once served.
  const others =
    shown.length === 0 && linked !== undefined
      ? (await listGenerationNumbers(context.root)).reverse()
      : shown;
  for (const number of [...(log.latest === undefined ? [] : [log.latest]), ...others]) {
    if ((await readGeneration(context.root, number)) === undefined) continue;
    await pointCurrentAt(context, number);
    return number;
  }
  return undefined;
}

function isThere(root: string, number: number): Promise<boolean> {
  return isDirectory(generationPath(root, number));
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() ?? false;
}

/** What was built but never shown is of no use, unless the unfinished operation is going to show it. */
async function removeNeverShown(
  context: StoreContext,
  log: SwitchLog,
  journal: Journal,
  current: number | undefined,
): Promise<void> {
  const prepared = journal.unfinished()?.prepared;
  for (const number of await listGenerationNumbers(context.root)) {
    if (number === prepared?.toGeneration || log.shown.has(number)) continue;
    if (current !== undefined && number <= current) continue; // gc's to judge
    await retireDirectory(context, generationPath(context.root, number));
  }
}
