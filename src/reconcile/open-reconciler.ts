import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { type AuditLog, openAuditLog } from '../audit/audit-log.ts';
import { createOutbox, type Outbox } from '../audit/outbox.ts';
import { readSecret } from '../environment.ts';
import { badInput, environmentFailed } from '../errors.ts';
import { type ObjectDatabase, openObjectDatabase } from '../git/object-database.ts';
import { defaultLimits, type Limits } from '../repo/limits.ts';
import { requireRingName } from '../repo/names.ts';
import { parsePlatformVersion } from '../repo/platform.ts';
import type { Turn } from '../source/module-source.ts';
import { diskFailed } from '../store/disk-error.ts';
import { stagingPath } from '../store/layout.ts';
import { openRoot, type Root } from '../store/root.ts';
import { Attempt } from './attempt.ts';
import { restoreAnchor, setAsideDatabaseFile } from './fetched-state.ts';
import type { Log } from './log.ts';
import { openRepository, type RepositoryOptions } from './open-repository.ts';
import { openSources } from './open-sources.ts';
import { Reconciler } from './reconciler.ts';
import type { ReconcilerParts } from './reconciler-parts.ts';
import { recoverOperation, restoreLostEvents } from './recover-operation.ts';
import { RingMembership } from './ring/ring-membership.ts';
import { RingMemory } from './ring/ring-memory.ts';
import { identityOf, requireOwnRing } from './root-identity.ts';
import { seedRoot } from './seed-root.ts';
import { readSigningOptions, type SigningFlags } from './signing-options.ts';
import { StatusKeeper } from './status-keeper.ts';
import { Tally } from './tally.ts';
import { timedRemote } from './timed-remote.ts';

/** What a reconciler is told, as its flags and environment say it. */
export interface ReconcileOptions extends RepositoryOptions, SigningFlags {
  /** RING_NAME when undefined. */
  readonly ring: string | undefined;
  readonly root: string;
  readonly branch: string;
  readonly databaseUrl: string | undefined;
  readonly seed: string | undefined;
  readonly link: string;
  /** `generation` (default) or `in-place`. */
  readonly strategy?: string;
  /** What `in-place` keeps equal to the generation. */
  readonly modulesDirectory?: string | undefined;
  /** The host's name when undefined. */
  readonly replica: string | undefined;
  readonly platformFile: string | undefined;
  readonly allowRewind: boolean;
  /** Takes over a root of another ring, repository or branch. */
  readonly adopt: boolean;
  /** How long a pass may take to look, fetch and stage. */
  readonly timeoutMs: number;
  /** What the repository may cost this pod; defaultLimits when undefined. */
  readonly limits?: Limits;
  readonly contentCheckMs: number;
  /** MIGRATIONS_DATABASE_URL when undefined. */
  readonly migrationsUrl: string | undefined;
  readonly skipMigrations: boolean;
  readonly healthUrl: string | undefined;
  readonly notifyUrl: string | undefined;
  /** An executable, or a JSON array of it and its arguments. */
  readonly notifyCommand: string | undefined;
  /** How many replicas the ring has; more than one needs what they can agree through. */
  readonly replicas: number;
  /** A directory that the replicas of one host share instead of a database. */
  readonly ringState: string | undefined;
  readonly databaseGraceMs: number;
  /** Until the branch should be looked at again while an operation is under way. */
  readonly nextLook: ReconcilerParts['nextLook'];
  /** Visible generations that gc keeps, and for how long it keeps any that was switched out. */
  readonly keepGenerations: number;
  readonly retainForMs: number;
  readonly version: string;
}

/** A reconciler with all that it works with, open until close(). */
export interface OpenReconciler {
  readonly reconciler: Reconciler;
  readonly root: Root;
  readonly audit: AuditLog;
  readonly database: ObjectDatabase;
  readonly status: StatusKeeper;
  readonly outbox: Outbox;
  readonly membership: RingMembership;
  readonly tally: Tally;
  readonly databaseUrl: () => Promise<string | undefined>;
  close(): Promise<void>;
}

/**
 * Opens a root and everything a reconciler needs, finishes what a killed one left, and seeds an
 * empty root.
 *
 * @throws RinglockError for options that cannot be, a root that is owned by another process, …
 */
export async function openReconciler(options: ReconcileOptions, log: Log): Promise<OpenReconciler> {
  const settings = await readSettings(options);
  const databaseUrl = async () =>
    options.databaseUrl ?? (await readSecret('DATABASE_URL', options.environment));
  await refuseUnconnectedReplicas(options, databaseUrl);
  const inPlace = readStrategy(options);
  const { limits = defaultLimits } = options;
  const now = () => new Date();
  const root = await openRoot({
    path: resolve(options.workingDirectory, options.root),
    link: readLink(options.link),
    keepGenerations: options.keepGenerations,
    retainForMs: options.retainForMs,
    ...(inPlace !== undefined && { inPlace }),
    now,
  });
  const opened: { close(): Promise<void> }[] = [root];
  const close = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  try {
    const audit = await openAuditLog({ directory: join(root.path, 'audit'), now });
    opened.push(audit);
    await recoverOperation(root, audit, log);
    await restoreLostEvents(root, audit, log);
    await requireOwnRing({ ...settings, root, audit, log, now });
    await root.journal.compact();
    const outbox = createOutbox({
      directory: join(root.path, 'audit'),
      databaseUrl,
    });
    opened.push(outbox);
    await setAsideDatabaseFile(root.path, now(), log);
    const database = await openObjectDatabase(join(root.path, 'repo.git'), limits);
    const attempt = new Attempt(options.timeoutMs);
    const tally = new Tally();
    const turn: Turn = (whose, ask) => attempt.turn(whose, ask);
    const plainRemote = openRepository(options, database, log, {
      signal: () => attempt.signal,
      turn,
      traffic: tally.traffic,
    });
    const remote = timedRemote(plainRemote, tally.requests);
    opened.push(remote);
    if (options.seed !== undefined && (await root.current()) === undefined) {
      const directory = resolve(options.workingDirectory, options.seed);
      await seedRoot(root, audit, directory, settings);
      log.info('seeded', { from: options.seed });
    }
    const { ring, replica, branch } = settings;
    const identity = { ring, replica, branch, repository: remote.url };
    await restoreAnchor(root.path, database, (await identityOf(root))?.branch ?? branch, log);
    const status = await StatusKeeper.start(
      root,
      { ...identity, ringlock_version: options.version },
      now,
      log.warn,
    );
    const staging = stagingPath(root.path);
    const signal = () => attempt.signal;
    const sources = openSources(options, { database, remote, staging, limits, signal, turn }, log);
    opened.push(sources);
    const { sourcesFor } = sources;
    const migrationsUrl = async () =>
      options.migrationsUrl ?? (await readSecret('MIGRATIONS_DATABASE_URL', options.environment));
    const membership = new RingMembership({
      ring,
      replica,
      databaseUrl,
      memory: await RingMemory.open(root.path, ring, now, log),
      directory: resolve(options.workingDirectory, options.ringState ?? join(root.path, 'ring')),
      isShared: options.ringState !== undefined,
      graceMs: options.databaseGraceMs,
      log,
    });
    const { nextLook } = options;
    const reconciler = new Reconciler(settings, {
      ...{ root, database, remote, sourcesFor, audit, outbox, status },
      ...{ membership, attempt, migrationsUrl, nextLook, log, now, tally },
    });
    const open = { reconciler, root, audit, database, status, outbox, membership };
    return { ...open, tally, databaseUrl, close };
  } catch (error) {
    await close();
    throw diskFailed(error, root.path);
  }
}

export async function readSettings(options: Omit<ReconcileOptions, 'nextLook'>) {
  const ring = options.ring ?? options.environment['RING_NAME'];
  if (ring === undefined || ring === '') {
    throw badInput('ring-not-given', 'which ring this is was not given', {
      hint: 'Give --ring, or set RING_NAME.',
    });
  }
  refuseFixedCommit(options.branch);
  return {
    ring: requireRingName(ring),
    replica: options.replica ?? hostname(),
    branch: options.branch.replace(/^refs\/heads\//, ''),
    allowRewind: options.allowRewind,
    signing: await readSigningOptions(options, options),
    adopt: options.adopt,
    platform: await readPlatformFile(options),
    contentCheckMs: options.contentCheckMs,
    skipMigrations: options.skipMigrations,
    application: {
      healthUrl: options.healthUrl,
      notifyUrl: options.notifyUrl,
      notifyCommand: readCommand(options.notifyCommand),
      environment: options.environment,
    },
  };
}

/** Replicas that cannot agree would migrate twice, and switch all at once. */
async function refuseUnconnectedReplicas(
  { replicas, ringState }: ReconcileOptions,
  databaseUrl: () => Promise<string | undefined>,
): Promise<void> {
  if (replicas <= 1 || ringState !== undefined || (await databaseUrl()) !== undefined) return;
  throw badInput(
    'replicas-need-a-database',
    `--replicas is ${replicas}, but there is no database through which they could agree`,
    {
      hint: 'Give all of them one DATABASE_URL; on a single host, --ring-state DIR with one directory for all.',
    },
  );
}

function readCommand(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  if (!text.startsWith('[')) return [text];
  try {
    const command: unknown = JSON.parse(text);
    const isCommand =
      Array.isArray(command) &&
      command.length > 0 &&
      command.every((part) => typeof part === 'string');
    if (isCommand) return command as string[];
  } catch {
    // Said below.
  }
  throw badInput(
    'invalid-notify-command',
    `--notify-command is ${text}, expected an executable or a JSON array such as ["/bin/kill", "-HUP", "1"]`,
  );
}

/** A ring follows a branch: what stands still cannot be deployed to. */
function refuseFixedCommit(branch: string): void {
  const kind = /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(branch)
    ? 'a commit id'
    : branch.startsWith('refs/') && !branch.startsWith('refs/heads/')
      ? 'not a branch'
      : undefined;
  if (kind === undefined) return;
  throw badInput(
    'not-a-branch',
    `--branch is ${branch}, which is ${kind}; a ring follows a branch, since committing its lock is the deployment`,
    { hint: 'To stay at a version, hold it: ringlock hold <alias> --ring <ring> --reason "…".' },
  );
}

async function readPlatformFile(
  options: Omit<ReconcileOptions, 'nextLook'>,
): Promise<string | undefined> {
  if (options.platformFile === undefined) return undefined;
  const path = resolve(options.workingDirectory, options.platformFile);
  try {
    return parsePlatformVersion(await readFile(path, 'utf8'), path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw environmentFailed('platform-file-missing', `--platform-file ${path} is not there`);
    }
    throw error;
  }
}

function readLink(link: string): 'symlink' | 'hardlink' {
  if (link === 'symlink' || link === 'hardlink') return link;
  throw badInput('invalid-link', `--link is ${JSON.stringify(link)}, expected symlink or hardlink`);
}

/** The directory of strategy `in-place`; undefined for `generation`. */
function readStrategy(options: ReconcileOptions): string | undefined {
  const { strategy = 'generation', modulesDirectory, workingDirectory } = options;
  if (strategy !== 'generation' && strategy !== 'in-place') {
    throw badInput(
      'invalid-strategy',
      `--strategy is ${JSON.stringify(strategy)}, expected generation or in-place`,
    );
  }
  if (strategy === 'in-place' && modulesDirectory === undefined) {
    throw badInput('modules-dir-not-given', '--strategy is in-place without --modules-dir', {
      hint: 'Give --modules-dir the directory that the application reads modules from.',
    });
  }
  if (strategy === 'generation' && modulesDirectory !== undefined) {
    throw badInput('modules-dir-unused', '--modules-dir is given without --strategy in-place', {
      hint: 'Applications read <root>/current; where they cannot, add --strategy in-place.',
    });
  }
  return modulesDirectory === undefined ? undefined : resolve(workingDirectory, modulesDirectory);
}
