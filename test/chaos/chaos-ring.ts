import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type GitServer, startGitServer } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase } from '../support/postgres.ts';
import { type Memory, newMemory, type Subject } from './checker.ts';

/** A platform that is served over HTTP; many roots may follow it. */
export interface ChaosPlatform {
  readonly platform: Platform;
  readonly server: GitServer;
  /** The repository's URL. */
  readonly repo: string;
  /** Where roots are made; what is kept for a post-mortem lies here. */
  readonly directory: string;
  close(): Promise<void>;
}

const ring = 'canary';

export async function createChaosPlatform(): Promise<ChaosPlatform> {
  const cleaners: (() => unknown)[] = [];
  // The fixtures ask a test context for nothing but this.
  const context = { after: (clean: () => unknown) => cleaners.push(clean) };
  const t = context as unknown as TestContext;
  const platform = createPlatform(t);
  const bare = platform.addRemote(t);
  const server = await startGitServer(dirname(bare));
  return {
    platform,
    server,
    repo: `${server.url}/${basename(bare)}`,
    directory: realpathSync(mkdtempSync(join(tmpdir(), 'ringlock-chaos-'))),
    close: async () => {
      await server.close();
      for (const clean of cleaners) await clean();
    },
  };
}

/** One root of a platform with a database of its own, and what was seen of it. */
export interface ChaosRoot {
  readonly root: string;
  readonly databaseUrl: string;
  readonly link: 'symlink' | 'hardlink';
  readonly memory: Memory;
  /** The commit whose lock is served. */
  commit: string | undefined;
}

export async function createRoot(
  { directory }: ChaosPlatform,
  name: string,
  link: ChaosRoot['link'],
): Promise<ChaosRoot> {
  const root = join(directory, name);
  mkdirSync(root);
  const databaseUrl = await createDatabase();
  return { root, databaseUrl, link, memory: newMemory(), commit: undefined };
}

/** The same root and what was seen of it, elsewhere and with another database. */
export function copyRoot(from: ChaosRoot, root: string, databaseUrl: string): ChaosRoot {
  execFileSync('cp', ['-a', from.root, root]);
  const { seen, locks, damages } = from.memory;
  const memory = { seen: [...seen], locks: new Map(locks), damages: new Set(damages) };
  return { ...from, root, databaseUrl, memory };
}

export function removeRoot({ root }: Pick<ChaosRoot, 'root'>): void {
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
}

/** What a checker has to know of a root on its way to a commit. */
export function subjectOf(
  { platform }: ChaosPlatform,
  { root, databaseUrl, memory, commit }: ChaosRoot,
  to: string,
): Subject {
  const allowed = commit === undefined ? [to] : [commit, to];
  return { root, ring, repository: platform.path, allowed, databaseUrl, memory };
}

export function reconcileArguments(
  { repo }: ChaosPlatform,
  { root, link }: ChaosRoot,
  ...more: readonly string[]
): string[] {
  return ['reconcile', '--repo', repo, '--root', root, '--ring', ring, '--link', link, ...more];
}
