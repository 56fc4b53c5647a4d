import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { type AuditLog, openAuditLog } from '../audit/audit-log.ts';
import { createOutbox, type Outbox } from '../audit/outbox.ts';
import { readSecret } from '../environment.ts';
import { badInput, environmentFailed } from '../errors.ts';
import { type ObjectDatabase, openObjectDatabase } from '../git/object-database.ts';
import { openRemote } from '../git/open-remote.ts';
import { requireRingName } from '../repo/names.ts';
import { parsePlatformVersion } from '../repo/platform.ts';
import { gitSource } from '../source/git-source.ts';
import { objectSource } from '../source/object-source.ts';
import { diskFailed } from '../store/disk-error.ts';
import { openRoot, type Root } from '../store/root.ts';
import { restoreAnchor, setAsideDatabaseFile } from './fetched-state.ts';
import type { Log } from './log.ts';
import { Reconciler, type ReconcilerParts } from './reconciler.ts';
import { recoverOperation, restoreLostEvents } from './recover-operation.ts';
import { seedRoot } from './seed-root.ts';
import { StatusKeeper } from './status-keeper.ts';

/** What a reconciler is told, as its flags and environment say it. */
export interface ReconcileOptions {
  /** An https URL, or a path that relative ones are resolved in `workingDirectory`. */
  readonly repository: string;
  /** RING_NAME when undefined. */
  readonly ring: string | undefined;
  readonly root: string;
  readonly workingDirectory: string;
  readonly branch: string;
  readonly databaseUrl: string | undefined;
  readonly seed: string | undefined;
  readonly link: string;
  /** The host's name when undefined. */
  readonly replica: string | undefined;
  readonly platformFile: string | undefined;
  readonly allowRewind: boolean;
  readonly idleTimeoutMs: number;
  readonly contentCheckMs: number;
  readonly environment: NodeJS.ProcessEnv;
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
  const now = () => new Date();
  const root = await openRoot({
    path: resolve(options.workingDirectory, options.root),
    link: readLink(options.link),
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
    await root.journal.compact();
    const outbox = createOutbox({
      directory: join(root.path, 'audit'),
      databaseUrl: () => options.databaseUrl ?? readSecret('DATABASE_URL', options.environment),
    });
    opened.push(outbox);
    await setAsideDatabaseFile(root.path, now(), log);
    const database = await openObjectDatabase(join(root.path, 'repo.git'));
    const remote = openRemote(repositoryOf(options), database, {
      token: () => readSecret('RINGLOCK_GIT_TOKEN', options.environment),
      tokenSource: 'RINGLOCK_GIT_TOKEN',
      idleTimeoutMs: options.idleTimeoutMs,
    });
    opened.push(remote);
    if (options.seed !== undefined && (await root.current()) === undefined) {
      const directory = resolve(options.workingDirectory, options.seed);
      await seedRoot(root, audit, directory, settings);
      log.info('seeded', { from: options.seed });
    }
    const { ring, replica, branch } = settings;
    const identity = { ring, replica, branch, repository: remote.url };
    await restoreAnchor(root.path, database, branch, log);
    const status = await StatusKeeper.start(
      root,
      { ...identity, ringlock_version: options.version },
      now,
      log.warn,
    );
    const sourcesFor: ReconcilerParts['sourcesFor'] = ({ maxFiles }, have) => [
      objectSource(database, maxFiles),
      gitSource(remote, database, { maxFiles, have }),
    ];
    const parts = { root, database, remote, sourcesFor, audit, outbox, status, log, now };
    const reconciler = new Reconciler(settings, parts);
    return { reconciler, root, audit, database, status, outbox, close };
  } catch (error) {
    await close();
    throw diskFailed(error, root.path);
  }
}

export async function readSettings(options: ReconcileOptions) {
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
    platform: await readPlatformFile(options),
    contentCheckMs: options.contentCheckMs,
  };
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

async function readPlatformFile(options: ReconcileOptions): Promise<string | undefined> {
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

function repositoryOf({ repository, workingDirectory }: ReconcileOptions): string {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(repository);
  return isUrl ? repository : resolve(workingDirectory, repository);
}

function readLink(link: string): 'symlink' | 'hardlink' {
  if (link === 'symlink' || link === 'hardlink') return link;
  throw badInput('invalid-link', `--link is ${JSON.stringify(link)}, expected symlink or hardlink`);
}
