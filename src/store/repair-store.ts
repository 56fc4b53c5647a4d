import { copyFile, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { RinglockError } from '../errors.ts';
import { findDrift } from './drift.ts';
import {
  listGenerationNumbers,
  readCurrentGeneration,
  readCurrentLink,
  readGeneration,
} from './generation.ts';
import { readRecords, writeJournal } from './journal.ts';
import { currentPath, generationName, journalPath, type StoreContext } from './layout.ts';
import { findStrangeNames } from './own-names.ts';
import { makeAsideDirectory, type Repair, setAside } from './set-aside.ts';
import { readStatus } from './status-file.ts';
import { pointCurrentAt } from './switch-generation.ts';
import { SwitchLog } from './switch-log.ts';
import { findWrongModule } from './verify-generation.ts';
import { VersionStore } from './version-store.ts';

/** Names of ringlock's that are of another kind go aside; before the root is owned, since `owner` may be one. */
export async function repairNames(root: string, now: Date): Promise<Repair[]> {
  const repairs: Repair[] = [];
  for (const { name, found, expected } of await findStrangeNames(root)) {
    const moved_to = await setAside(root, name, now);
    repairs.push({
      path: name,
      found: `a ${found} instead of a ${expected}`,
      did: 'moved aside',
      moved_to,
    });
  }
  return repairs;
}

/**
 * Brings what the store keeps of a root to a state that can be opened and served from: the journal,
 * switches.json, status.json, versions, generations, and `current`, which ends on the newest generation
 * whose every byte is as its lock pins, unless it is on a complete one.
 */
export async function repairStore(context: StoreContext): Promise<Repair[]> {
  const store = new VersionStore(context);
  return [
    ...(await repairJournal(context)),
    ...(await repairStateFiles(context)),
    ...(await repairForeignCurrent(context)),
    ...(await repairVersions(store)),
    ...(await repairGenerations(context, store)),
  ];
}

async function repairJournal(context: StoreContext): Promise<Repair[]> {
  const { root, now } = context;
  const { records, damagedLines } = await readRecords(root);
  if (damagedLines === 0) return [];
  // Copied, then replaced in one step: its records are what finishes an operation that was cut off.
  const directory = await makeAsideDirectory(root, 'journal', now());
  const moved_to = join(directory, 'journal.jsonl');
  await copyFile(journalPath(root), join(root, moved_to));
  await writeJournal(context, records);
  return [
    {
      path: 'journal.jsonl',
      found: `${damagedLines} damaged of ${damagedLines + records.length} lines`,
      did: 'kept aside; the readable records go on',
      moved_to,
    },
  ];
}

/** Both are written anew when the root is opened. */
async function repairStateFiles({ root, now }: StoreContext): Promise<Repair[]> {
  const repairs: Repair[] = [];
  const did = 'moved aside; it is written anew';
  const isSwitchesThere = await exists(join(root, 'switches.json'));
  if (isSwitchesThere && (await SwitchLog.open({ root } as StoreContext)).isLost) {
    const moved_to = await setAside(root, 'switches.json', now());
    repairs.push({ path: 'switches.json', found: 'not what ringlock wrote', did, moved_to });
  }
  try {
    await readStatus(root);
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    const moved_to = await setAside(root, 'status.json', now());
    repairs.push({ path: 'status.json', found: 'not what ringlock wrote', did, moved_to });
  }
  return repairs;
}

async function repairForeignCurrent({ root, now }: StoreContext): Promise<Repair[]> {
  try {
    await readCurrentLink(root);
    return [];
  } catch (error) {
    if (!(error instanceof RinglockError) || error.code !== 'foreign-current') throw error;
    const found = error.message.slice(currentPath(root).length + ' is '.length);
    const moved_to = await setAside(root, 'current', now());
    return [{ path: 'current', found, did: 'moved aside', moved_to }];
  }
}

/** A damaged version is marked, not moved: a process may have it open, and gc removes it later. */
async function repairVersions(store: VersionStore): Promise<Repair[]> {
  const repairs: Repair[] = [];
  for (const { stored, pin } of await store.list()) {
    if (pin === undefined || !(await store.isUsable(stored, pin))) continue;
    const damage = await store.findDamage(stored, pin);
    if (damage === undefined) continue;
    const path = `versions/${stored.alias}/${stored.name}`;
    repairs.push({ path, found: damage, did: 'marked; it is staged again', moved_to: null });
  }
  return repairs;
}

async function repairGenerations(context: StoreContext, store: VersionStore): Promise<Repair[]> {
  const { root, now } = context;
  const repairs = await repairCurrent(context, store);
  const shown = await readCurrentLink(root);
  for (const number of await listGenerationNumbers(root)) {
    if (number === shown || (await readGeneration(root, number)) !== undefined) continue;
    const path = `generations/${generationName(number)}`;
    const moved_to = await setAside(root, path, now());
    repairs.push({ path, found: 'not a complete generation', did: 'moved aside', moved_to });
  }
  return repairs;
}

/**
 * A `current` on a complete generation stays, though a module of it may be damaged: the pass repairs
 * that, and going back to another lock meanwhile would be worse.
 */
async function repairCurrent(context: StoreContext, store: VersionStore): Promise<Repair[]> {
  const { root } = context;
  if ((await readCurrentGeneration(root)) !== undefined) return [];
  const found = await describeCurrent(root);
  const number = await newestGood(context, store);
  if (number === undefined) {
    const isFresh = (await listGenerationNumbers(root)).length === 0;
    const did = 'no generation is good: the pass has to build one';
    return isFresh ? [] : [{ path: 'current', found, did, moved_to: null }];
  }
  await pointCurrentAt(context, number);
  return [{ path: 'current', found, did: `shows generation ${number}`, moved_to: null }];
}

async function describeCurrent(root: string): Promise<string> {
  const number = await readCurrentLink(root);
  return number === undefined
    ? 'it is gone'
    : `it shows generation ${number}, which is not complete`;
}

async function newestGood(context: StoreContext, store: VersionStore): Promise<number | undefined> {
  for (const number of (await listGenerationNumbers(context.root)).reverse()) {
    const generation = await readGeneration(context.root, number);
    if (generation === undefined || (await findWrongModule(generation)) !== undefined) continue;
    if ((await findDrift(context, store, generation, 'links')).size === 0) return number;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
