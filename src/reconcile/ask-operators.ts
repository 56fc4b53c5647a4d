import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withDatabase } from '../audit/database.ts';
import { ensureSchema } from '../audit/schema.ts';
import { readSecret } from '../environment.ts';
import { badInput, environmentFailed } from '../errors.ts';
import { changesKey } from '../plan/desired-lock.ts';
import { requireRingName } from '../repo/names.ts';
import {
  fileRequest,
  isTaken,
  loginName,
  type OperatorRequest,
  type RequestFile,
  withdrawRequest,
} from './operator-requests.ts';
import { abortOperation } from './ring/abort-operation.ts';
import { RingMemory } from './ring/ring-memory.ts';
import { announceNews } from './ring/ring-news.ts';

/** Where a person's wish goes: to the reconciler of one root, or to a ring through its database. */
export interface Addressee {
  readonly root: string | undefined;
  readonly ring: string | undefined;
  readonly databaseUrl: string | undefined;
  readonly cwd: string;
  /** Whether to wait until a reconciler has taken it. */
  readonly wait: boolean;
}

/** What a person may ask; an undo is a command's own. */
type Wish = Exclude<OperatorRequest, { kind: 'undo' }>;

export interface Asked {
  readonly message: string;
  /** Whether a reconciler has taken it already. */
  readonly taken: boolean;
}

/** How long a running reconciler may take to see a request, in ms. */
const takenWithinMs = 15_000;

/**
 * Asks for something that a reconciler, or all of a ring, is to do.
 *
 * @throws RinglockError `no-addressee`, `root-missing`, `request-not-taken`, `nothing-to-abort`, `database-…`
 */
export async function askOperators(to: Addressee, request: Wish): Promise<Asked> {
  if (to.root !== undefined) return askRoot(resolve(to.cwd, to.root), request, to.wait);
  const url = to.databaseUrl ?? (await readSecret('DATABASE_URL'));
  if (to.ring === undefined || url === undefined) {
    throw badInput('no-addressee', 'neither a root nor a ring with its database is given', {
      hint: 'Give --root DIR in a pod, or --ring NAME with --database-url (or DATABASE_URL).',
    });
  }
  return askRing(url, requireRingName(to.ring), request);
}

async function askRoot(root: string, request: Wish, wait: boolean): Promise<Asked> {
  if (!existsSync(root)) {
    throw badInput('root-missing', `${root} is not there`, {
      hint: 'Give --root the directory that the reconciler owns.',
    });
  }
  if (wait) {
    await askReconciler(root, request);
    return { message: 'the reconciler has taken it', taken: true };
  }
  await fileRequest(root, request);
  return { message: 'the next pass takes it', taken: false };
}

/**
 * Files a request and waits until the reconciler of the root has taken it. One that is not taken in time is
 * withdrawn: nothing is done later that a command said had failed.
 *
 * @throws RinglockError `request-not-taken`
 */
export async function askReconciler(
  root: string,
  request: OperatorRequest,
  withinMs = takenWithinMs,
): Promise<RequestFile> {
  const filed = await fileRequest(root, request);
  if (await isTakenWithin(filed, withinMs)) return filed;
  const isWithdrawn = await withdrawRequest(filed);
  // Its taking has begun in this very moment.
  if (!isWithdrawn && (await isTakenWithin(filed, withinMs))) return filed;
  throw environmentFailed(
    'request-not-taken',
    `no reconciler of ${root} has taken the request in ${withinMs / 1000} s`,
    {
      hint: isWithdrawn
        ? 'It was withdrawn, nothing was changed: is `ringlock reconcile` running there?'
        : `It stands in ${filed.path}.taken, and the next pass goes on with it: does the reconciler hang?`,
    },
  );
}

async function isTakenWithin(filed: RequestFile, ms: number): Promise<boolean> {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    if (isTaken(filed)) return true;
    await delay(50);
  }
  return isTaken(filed);
}

async function askRing(url: string, ring: string, request: Wish): Promise<Asked> {
  const by = loginName();
  return withDatabase(url, async (client) => {
    await ensureSchema(client);
    if (request.kind === 'abort') {
      const { changes } = await abortOperation(client, ring, `${request.reason} (${by})`);
      return { message: `aborted: ${changesKey(changes)}`, taken: true };
    }
    const memory = RingMemory.without(ring, () => new Date());
    await memory.sync(client);
    const message = await remember(memory, request, by);
    await memory.sync(client);
    await announceNews(client, ring);
    return { message, taken: true };
  });
}

async function remember(
  memory: RingMemory,
  request: Exclude<Wish, { kind: 'abort' }>,
  by: string,
): Promise<string> {
  switch (request.kind) {
    case 'hold': {
      const { alias, entry, reason, withDown } = request;
      const since = new Date().toISOString();
      await memory.hold(alias, { entry, reason, by, since, ...(withDown && { withDown }) });
      return `holds ${alias} at ${entry.version}`;
    }
    case 'unhold': {
      const wasHeld = await memory.unhold(request.alias);
      return wasHeld ? `holds ${request.alias} no more` : `${request.alias} was not held`;
    }
    case 'retry': {
      const sets = (await memory.retry(request.aliases)).map(({ changes }) => changesKey(changes));
      return `tries again: ${sets.join('; ') || 'nothing had failed'}`;
    }
  }
}
