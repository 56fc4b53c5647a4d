import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { writeFileAtomically } from '../store/atomic-file.ts';
import type { Root } from '../store/root.ts';
import type { Application } from './application.ts';
import type { OperationFacts } from './operation-events.ts';

export interface MissedSwitch {
  readonly root: Root;
  readonly application: Application;
  readonly ring: string;
  readonly replica: string;
  readonly signal: AbortSignal;
}

/**
 * Tells the application of the generation that serves, if it was not told of that one: the process was
 * killed between a switch and its notification, or the application did not answer.
 *
 * @throws RinglockError `notify-failed`
 */
export async function tellOfMissedSwitch(missed: MissedSwitch): Promise<void> {
  const { root, application, ring, replica, signal } = missed;
  if (!application.isNotified) return;
  const current = await root.current();
  const told = await readTold(root);
  if (current === undefined || told === current.number) return;
  const facts = { ring, replica, operationId: uuidv7() };
  await notifyOfCurrent(application, root, facts, told ?? null, signal);
}

/**
 * Tells the application of the generation that serves, and notes that it was told.
 *
 * @throws RinglockError `notify-failed`
 */
export async function notifyOfCurrent(
  application: Application,
  root: Root,
  { ring, replica, operationId }: Pick<OperationFacts, 'ring' | 'replica' | 'operationId'>,
  previousGeneration: number | null,
  signal: AbortSignal,
): Promise<void> {
  const current = await root.current();
  if (current === undefined) return;
  const { number: generation, commit, lockDigest } = current;
  const what = { generation, commit, lockDigest, previousGeneration };
  await application.notify({ ring, replica, operationId, ...what }, signal);
  await markTold(root, generation);
}

/** The application knows of a generation. */
async function markTold(root: Root, generation: number): Promise<void> {
  await mkdir(dirname(toldPath(root)), { recursive: true });
  await writeFileAtomically(toldPath(root), `${generation}\n`, { mode: 0o644 });
}

async function readTold(root: Root): Promise<number | undefined> {
  const text = await readFile(toldPath(root), 'utf8').catch(() => '');
  return /^\d+\n$/.test(text) ? Number(text) : undefined;
}

function toldPath({ path }: Root): string {
  return join(path, 'ring', 'notified');
}
