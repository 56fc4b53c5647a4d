import { createHash } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { openAuditLog } from '../audit/audit-log.ts';
import { listSegments } from '../audit/journal.ts';
import { repairAudit } from '../audit/repair-audit.ts';
import { createSqliteMirror } from '../audit/sqlite-mirror.ts';
import { openObjectDatabase } from '../git/object-database.ts';
import { repairDatabase } from '../git/repair-database.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import { readCurrentGeneration } from '../store/generation.ts';
import { readRecords } from '../store/journal.ts';
import {
  auditPath,
  generationsPath,
  ownersPath,
  type StoreContext,
  stagingPath,
  versionsPath,
} from '../store/layout.ts';
import { makeDirectory } from '../store/module-tree.ts';
import { takeRoot } from '../store/owner.ts';
import { repairNames, repairStore } from '../store/repair-store.ts';
import type { Repair } from '../store/set-aside.ts';
import { anchorOf, convergedRef, readStatusIfAny } from './fetched-state.ts';
import type { Log } from './log.ts';
import { type ReconcileOptions, readSettings } from './open-reconciler.ts';
import { lostEvents } from './recover-operation.ts';

/**
 * Rebuilds everything in a root that can be derived, moving what is damaged to `damaged/`, so that it
 * can be opened and serves a good generation; the pass that follows makes the lock true again. Says what
 * it found and did, and leaves it in the audit as an operator's act. Repeating it does nothing.
 *
 * @throws RinglockError `root-owned`, `disk-read-only` and its like
 */
export async function repairRoot(
  options: Omit<ReconcileOptions, 'nextLook'>,
  log: Log,
): Promise<readonly Repair[]> {
  const identity = await readSettings(options);
  const root = await existingRoot(resolve(options.workingDirectory, options.root));
  const repairs = root === undefined ? [] : await repairOwned(root, identity, log);
  for (const { path, found, did, moved_to } of repairs) {
    log.warn(`repair: ${path}: ${found}; ${did}`, { moved_to });
  }
  if (repairs.length === 0) log.info('nothing to repair');
  return repairs;
}

interface Identity {
  readonly ring: string;
  readonly replica: string;
  readonly branch: string;
}

async function existingRoot(asked: string): Promise<string | undefined> {
  try {
    return await realpath(asked);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw diskFailed(error, asked);
  }
}

async function repairOwned(root: string, identity: Identity, log: Log): Promise<Repair[]> {
  const now = () => new Date();
  try {
    const names = await repairNames(root, now());
    for (const part of [ownersPath, generationsPath, versionsPath, stagingPath]) {
      await makeDirectory(part(root));
    }
    const owner = await takeRoot(root);
    try {
      const { requireOwned } = owner;
      const context = { root, link: 'symlink', now, fault: () => {}, requireOwned } as const;
      const repairs = [...names, ...(await repairParts(context, identity.branch))];
      if (repairs.length > 0) {
        await recordRepairs(root, identity, repairs);
        await writeSqlite(root, log);
      }
      return repairs;
    } finally {
      await owner.release();
    }
  } catch (error) {
    throw diskFailed(error, root);
  }
}

async function repairParts(context: StoreContext, branch: string): Promise<Repair[]> {
  const { root, now } = context;
  const repairs = await repairStore(context);
  const database = await repairDatabase(root, now());
  if (database !== undefined) repairs.push(database);
  // A database that begins anew cannot tell whether its ref is wrong.
  else repairs.push(...(await repairAnchor(root, branch)));
  const { records } = await readRecords(root);
  const audit = await repairAudit(root, now(), (there) => lostEvents(records, there));
  if (audit !== undefined) {
    const { broken, movedTo, verified, takenOver, segments } = audit;
    const sums = Object.entries(segments).map(([name, sum]) => `${name} ${sum}`);
    repairs.push({
      path: 'audit',
      found: `${broken}; ${verified} events before it are as they were written (${sums.join(', ')})`,
      did: `kept aside; a new chain begins with the ${takenOver} events that can be read`,
      moved_to: movedTo,
    });
  }
  repairs.push(...(await repairSqlite(root)));
  return repairs;
}

/** A ref that names a commit nobody has, while status.json names another: it would refuse every commit. */
async function repairAnchor(root: string, branch: string): Promise<Repair[]> {
  const database = await openObjectDatabase(join(root, 'repo.git'));
  const ref = await database.readRef(convergedRef(branch));
  if (ref === undefined || (await database.has(ref))) return [];
  const generation = await readCurrentGeneration(root);
  const known = anchorOf(await readStatusIfAny(root), branch) ?? generation?.commit ?? undefined;
  if (known === undefined || known === ref) return [];
  await database.writeRef(convergedRef(branch), known);
  return [
    {
      path: `repo.git/${convergedRef(branch)}`,
      found: `${ref}, a commit that was never here`,
      did: `names ${known} again, as status.json or the current generation says`,
      moved_to: null,
    },
  ];
}

/** Only reported when a byte was different: writing it again is the check. */
async function repairSqlite(root: string): Promise<Repair[]> {
  if ((await listSegments(auditPath(root))).length === 0) return [];
  const before = await digestOfSqlite(root);
  let failure: string | undefined;
  await writeSqlite(root, { warn: (message) => (failure = message) });
  const after = await digestOfSqlite(root);
  if (before === after && failure === undefined) return [];
  return [
    {
      path: 'audit/audit.sqlite',
      found: before === undefined ? 'it is gone' : 'not what the audit journal says',
      did: failure ?? 'written anew',
      moved_to: null,
    },
  ];
}

async function writeSqlite(root: string, log: { warn(message: string): void }): Promise<void> {
  const mirror = createSqliteMirror(auditPath(root), (message) => {
    log.warn(`audit.sqlite was not written: ${message}`);
  });
  mirror.refresh();
  await mirror.idle();
}

async function digestOfSqlite(root: string): Promise<string | undefined> {
  const bytes = await readFile(join(auditPath(root), 'audit.sqlite')).catch(() => undefined);
  return bytes && createHash('sha256').update(bytes).digest('hex');
}

async function recordRepairs(
  root: string,
  { ring, replica }: Identity,
  repairs: readonly Repair[],
): Promise<void> {
  const audit = await openAuditLog({ directory: auditPath(root) });
  try {
    await audit.append([
      {
        id: uuidv7(),
        ring,
        replica,
        actor: { name: operator(), commit: null },
        operationId: uuidv7(),
        action: 'operator',
        module: null,
        from: null,
        to: null,
        digest: null,
        outcome: 'succeeded',
        detail: { message: 'reconcile --repair', repairs },
      },
    ]);
  } finally {
    await audit.close();
  }
}

/** A user id without a name has no entry to ask for. */
function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}
