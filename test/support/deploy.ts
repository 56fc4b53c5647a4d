import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type CliResult, runCli } from './cli.ts';
import { lockedAt, type Platform, writeLocks } from './platform.ts';

/** Commits whatever was written, with the tracking ring's lock made right, and pushes if it can. */
export function deploy(platform: Platform, message: string): string {
  platform.git('add', '-A');
  writeLocks(platform, platform.rings.slice(-1));
  return push(platform, platform.commit(message));
}

/** Pushes the present branch, if there is a remote. */
export function push(platform: Platform, commit: string): string {
  if (platform.git('remote') !== '') platform.git('push', '-q', '--no-verify', 'origin', 'HEAD');
  return commit;
}

/** Changes a module and gives it a version; not committed. */
export function release(platform: Platform, directory: string, version: string): void {
  platform.change(directory, `as of ${version}`);
  platform.setVersion(directory, version);
}

export interface ReconcileArguments {
  readonly repo: string;
  readonly root: string;
  readonly ring?: string;
}

/** One pass of the built program. */
export function reconcileOnce(
  { repo, root, ring = 'canary' }: ReconcileArguments,
  more: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<CliResult> {
  const args = ['reconcile', '--once', '--repo', repo, '--root', root, '--ring', ring, ...more];
  return runCli(root, args, environment);
}

/** Every file below a directory, links followed: path → content. */
export function filesBelow(directory: string): Record<string, string> {
  const files: Record<string, string> = {};
  const walk = (path: string) => {
    for (const name of readdirSync(path)) {
      const full = join(path, name);
      if (statSync(full).isDirectory()) walk(full);
      else files[relative(directory, full)] = readFileSync(full, 'utf8');
    }
  };
  walk(directory);
  return files;
}

/** What a generation that runs a commit's lock has to hold, read from git alone: path → content. */
export function filesLockedAt(
  platform: Platform,
  commit: string,
  ring: string,
): Record<string, string> {
  const files: Record<string, string> = {};
  for (const { directory = '', alias } of lockedAt(platform, commit, ring)) {
    const { tree } = JSON.parse(platform.git('show', `${commit}:manifests/${ring}.lock.json`))
      .modules[alias];
    for (const path of platform.git('ls-tree', '-r', '--name-only', tree).split('\n')) {
      if (path.startsWith('tests/')) continue;
      files[`${directory}/${path}`] = platform.tryGit('show', `${tree}:${path}`).stdout;
    }
  }
  return files;
}

/** What applications see: the files of `current`, without ringlock's own. */
export function filesServed(root: string): Record<string, string> {
  const files = filesBelow(join(root, 'current'));
  return Object.fromEntries(
    Object.entries(files).filter(([path]) => !path.startsWith('.ringlock/')),
  );
}

export interface StatusFile {
  readonly state: string;
  readonly commit: string | null;
  readonly converged_commit: string | null;
  readonly generation: number | null;
  readonly modules: Readonly<Record<string, string>>;
  readonly repository: string;
  readonly answered_by: string | null;
  readonly outbox_pending: number | null;
  readonly last_error: { readonly code: string; readonly message: string } | null;
  readonly verified: Readonly<Record<'commit' | 'by' | 'key', string | null>> | null;
  readonly next_at?: string | null;
}

export function readStatusFile(root: string): StatusFile {
  return JSON.parse(readFileSync(join(root, 'status.json'), 'utf8'));
}

/** As readStatusFile(); undefined while a reconciler has not written one yet. */
export function statusIfAny(root: string): StatusFile | undefined {
  try {
    return readStatusFile(root);
  } catch {
    return undefined;
  }
}

/** The events of a root's journal, oldest first. */
export function readEvents(root: string): Record<string, unknown>[] {
  const directory = join(root, 'audit');
  return readdirSync(directory)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n').filter(Boolean))
    .map((line) => JSON.parse(line));
}
