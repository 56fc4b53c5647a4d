import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { RinglockError, refused } from '../errors.ts';
import type { LockEntry } from '../repo/lock.ts';
import { readCurrentGeneration } from '../store/generation.ts';
import { isRootOwned } from '../store/owner.ts';
import { readRootFile } from '../store/root-file.ts';
import { type RootStatus, readStatus } from '../store/status-file.ts';
import { askReconciler } from './ask-operators.ts';
import type { Log } from './log.ts';
import { fileRequest, type RequestFile } from './operator-requests.ts';
import { type RunOptions, runReconciler } from './run-reconciler.ts';
import { undoHold } from './undo-hold.ts';
import { waitForVersion } from './wait-for-version.ts';

/** What a command line may say of the reconciler that it is for one pass. */
export type PassFlags = Pick<
  RunOptions,
  | 'caFile'
  | 'databaseUrl'
  | 'migrationsUrl'
  | 'skipMigrations'
  | 'healthUrl'
  | 'notifyUrl'
  | 'notifyCommand'
  | 'modulesDirectory'
  | 'workingDirectory'
  | 'environment'
  | 'version'
> & {
  /** Empty: the repository that the root followed before. */
  readonly repositories: readonly string[];
};

export interface WantedOnRoot {
  readonly root: string;
  readonly alias: string;
  readonly entry: LockEntry;
  readonly reason: string;
  /** Also the steps down that are not marked as safe. */
  readonly withDown: boolean;
  /** Only asks the reconciler of the root, also one that is just being started. */
  readonly onlyAsk?: boolean;
  /** How long a running reconciler may take to hear of it, and then to switch, in ms. */
  readonly takenWithinMs?: number;
  readonly switchedWithinMs: number;
}

export interface AppliedToRoot {
  readonly generation: number;
  /** Whether a running reconciler did it, rather than this process. */
  readonly byReconciler: boolean;
}

/**
 * Makes a root serve a version of a module and holds it there. A reconciler that runs there is asked; where
 * none does, this process makes one pass of it: plan, journal, migrations, handlers and audit are its. When it
 * is not served in the end, what was held before is held again, exactly.
 *
 * @throws RinglockError `skip-migrations-unheard`, `not-served` with what the pass says, `not-switched`,
 *   `request-not-taken`
 */
export async function applyToRoot(
  wanted: WantedOnRoot,
  flags: PassFlags,
  log: Log,
): Promise<AppliedToRoot> {
  const { root, alias, entry, reason, withDown, takenWithinMs } = wanted;
  const request = { kind: 'hold', alias, entry, reason, withDown } as const;
  if (wanted.onlyAsk === true || (await isRootOwned(root))) {
    refuseUnheard(root, flags);
    const taken = await askReconciler(root, request, takenWithinMs);
    return switchedByReconciler(wanted, taken, flags, log);
  }
  const filed = await fileRequest(root, request);
  const status = await onePass(root, flags, log).catch((error: unknown) =>
    failUndone(error, wanted, filed, flags, log),
  );
  // It was started since we looked, and takes requests at its start.
  if (status === 'owned') return switchedByReconciler(wanted, filed, flags, log);
  const current = await readCurrentGeneration(root);
  const served = current?.lock.modules.get(alias);
  if (current !== undefined && served?.sha256 === entry.sha256) {
    return { generation: current.number, byReconciler: false };
  }
  return failUndone(notServed(wanted, status), wanted, filed, flags, log);
}

async function switchedByReconciler(
  wanted: WantedOnRoot,
  filed: RequestFile,
  flags: PassFlags,
  log: Log,
): Promise<AppliedToRoot> {
  const { root, alias, entry, switchedWithinMs } = wanted;
  try {
    const generation = await waitForVersion(root, alias, entry, switchedWithinMs);
    return { generation, byReconciler: true };
  } catch (error) {
    return failUndone(error, wanted, filed, flags, log);
  }
}

/** A hold that cannot be made true would keep the root from everything else. @throws what it is given */
async function failUndone(
  error: unknown,
  wanted: WantedOnRoot,
  filed: RequestFile,
  flags: PassFlags,
  log: Log,
): Promise<never> {
  try {
    await undoHold(wanted, filed, () => passOptions(wanted.root, flags), log);
  } catch (undoing) {
    throw bothTold(error, undoing, wanted);
  }
  throw error;
}

function bothTold(error: unknown, undoing: unknown, { alias }: WantedOnRoot): unknown {
  if (!(error instanceof RinglockError)) return error;
  const { code, exitCode, message, details } = error;
  const reason = undoing instanceof Error ? undoing.message : String(undoing);
  return new RinglockError(
    code,
    exitCode,
    `${message}; and what was held of ${alias} before could not be brought back: ${reason}`,
    {
      hint: `See ringlock status; to end the hold: ringlock unhold ${alias} --local.`,
      ...(details && { details }),
      cause: error,
    },
  );
}

/** One pass to the committed lock, with the holds there are. @throws RinglockError `root-owned` */
export async function passOnRoot(root: string, flags: PassFlags, log: Log): Promise<RootStatus> {
  const status = await onePass(root, flags, log);
  if (status !== 'owned') return status;
  throw refused('reconciler-running', `a reconciler owns ${root} and follows the lock by itself`, {
    hint: 'To wait for a commit: ringlock wait.',
  });
}

async function onePass(root: string, flags: PassFlags, log: Log): Promise<RootStatus | 'owned'> {
  const options = await passOptions(root, flags);
  try {
    return await runReconciler(options, log);
  } catch (error) {
    if (error instanceof RinglockError && error.code === 'root-owned') return 'owned';
    throw error;
  }
}

/** @throws RinglockError `nothing-served` */
async function passOptions(root: string, flags: PassFlags): Promise<RunOptions> {
  const file = await readRootFile(root);
  const status = await readStatus(root);
  const repository = file?.repository ?? status?.repository;
  const repositories =
    flags.repositories.length > 0 ? flags.repositories : repository ? [repository] : [];
  if (repositories.length === 0 || !existsSync(root)) {
    throw refused('nothing-served', `${root} does not say which repository it follows`, {
      hint: 'Give --repo, or make the root first: ringlock reconcile --once.',
    });
  }
  return {
    ...passDefaults,
    ...flags,
    ...{ repositories, root },
    ring: file?.ring ?? status?.ring,
    branch: file?.branch ?? status?.branch ?? 'main',
    replica: status?.replica ?? hostname(),
    strategy: flags.modulesDirectory === undefined ? 'generation' : 'in-place',
  };
}

/** A pass that a person waits for; what is not said here is as `reconcile --once` has it. */
const passDefaults = {
  mode: 'once',
  intervalMs: 30_000,
  initIntervalMs: 2_000,
  maxFailures: undefined,
  timeoutMs: 30 * 60_000,
  idleTimeoutMs: 30_000,
  contentCheckMs: 600_000,
  databaseGraceMs: 0,
  listenToDatabase: false,
  onRepaired: undefined,
  listen: undefined,
  seed: undefined,
  link: 'symlink',
  platformFile: undefined,
  allowRewind: false,
  adopt: false,
  allowedSigners: undefined,
  gpgKeys: undefined,
  revokedKeys: undefined,
  trustCommits: [],
  webhookUrls: [],
  commitStatus: undefined,
  commitStatusUrl: undefined,
  replicas: 1,
  ringState: undefined,
  keepGenerations: 10,
  retainForMs: 24 * 3_600_000,
} as const;

function refuseUnheard(root: string, { skipMigrations }: PassFlags): void {
  if (!skipMigrations) return;
  throw refused(
    'skip-migrations-unheard',
    `a reconciler owns ${root}, and whether it runs migrations is its own flag`,
    { hint: 'Start it with --skip-migrations, or stop it and run this again.' },
  );
}

function notServed({ root, alias, entry }: WantedOnRoot, status: RootStatus): RinglockError {
  const { last_error: error, state } = status;
  return new RinglockError(
    'not-served',
    error !== null && status.state !== 'refused' ? 3 : 1,
    `${root} does not serve ${alias} ${entry.version}: ${error?.message ?? `it is ${state}`}`,
    { hint: error?.hint ?? 'What was held before is held again; see ringlock status.' },
  );
}
