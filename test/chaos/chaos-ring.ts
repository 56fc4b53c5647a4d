import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import pg from 'pg';
import { serveApplication, type TestApplication } from '../support/application.ts';
import { deploy } from '../support/deploy.ts';
import { type GitServer, startGitServer } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase } from '../support/postgres.ts';
import type { Arrangement } from './arrangement.ts';
import { handlerLogPath } from './check-ring.ts';
import { type Memory, newMemory, type Standing, type Subject, type WantedLock } from './checker.ts';

/** A platform that is served over HTTP; many roots may follow it. */
export interface ChaosPlatform {
  readonly platform: Platform;
  readonly server: GitServer;
  /** The repository's URL. */
  readonly repo: string;
  readonly around: Surroundings;
  /** Where roots are made; what is kept for a post-mortem lies here. */
  readonly directory: string;
  close(): Promise<void>;
}

/**
 * What a root has beside git. `bare`: a database for the ring. `full`: besides, an application that is
 * told and asked, and its database for migrations. `alone`: the application and its database only.
 */
export type Surroundings = 'bare' | 'full' | 'alone';

const ring = 'canary';
const healthSettings = `health:
  url: http://127.0.0.1:1/
  timeout: 1500ms
  stableFor: 40ms
  interval: 15ms
`;

export async function createChaosPlatform(around: Surroundings = 'bare'): Promise<ChaosPlatform> {
  const { t, clean } = cleanUp();
  const platform = createPlatform(t);
  const bare = platform.addRemote(t);
  if (around !== 'bare') {
    platform.write({ 'manifests/ringlock.yaml': healthSettings });
    deploy(platform, 'Ask for health');
  }
  const server = await startGitServer(dirname(bare));
  return {
    platform,
    server,
    repo: `${server.url}/${basename(bare)}`,
    around,
    directory: realpathSync(mkdtempSync(join(tmpdir(), 'ringlock-chaos-'))),
    close: async () => {
      await server.close();
      await clean();
    },
  };
}

/** The fixtures ask a test context for nothing but what to do in the end. */
function cleanUp(): { readonly t: TestContext; readonly clean: () => Promise<void> } {
  const cleaners: (() => unknown)[] = [];
  const context = { after: (clean: () => unknown) => cleaners.push(clean) };
  return {
    t: context as unknown as TestContext,
    clean: async () => {
      for (const clean of cleaners) await clean();
    },
  };
}

/** One root of a platform with databases and an application of its own, and what was seen of it. */
export interface ChaosRoot {
  readonly root: string;
  readonly databaseUrl: string | undefined;
  readonly migrationsUrl: string | undefined;
  readonly application: TestApplication | undefined;
  readonly link: 'symlink' | 'hardlink';
  readonly memory: Memory;
  /** What people asked on it, in order. */
  readonly asked: string[];
  /** Where it stood at the end of the phase before. */
  standing: Standing | undefined;
  /** What it served then. */
  shown: WantedLock | undefined;
  close(): Promise<void>;
}

export async function createRoot(
  { directory, around }: ChaosPlatform,
  name: string,
  link: ChaosRoot['link'],
): Promise<ChaosRoot> {
  const root = join(directory, name);
  mkdirSync(root);
  const migrationsUrl = around === 'bare' ? undefined : await createDatabase();
  if (migrationsUrl !== undefined) await makeRunsTable(migrationsUrl);
  return {
    root,
    databaseUrl: around === 'alone' ? undefined : await createDatabase(),
    migrationsUrl,
    ...(await applicationBeside(root, around !== 'bare')),
    link,
    memory: newMemory(),
    asked: [],
    standing: undefined,
    shown: undefined,
  };
}

/** Where the migrations of the platform write what they do. */
async function makeRunsTable(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('create table runs (id serial, name text, way text)');
  await client.end();
}

async function applicationBeside(
  root: string,
  isWanted: boolean,
): Promise<Pick<ChaosRoot, 'application' | 'close'>> {
  if (!isWanted) return { application: undefined, close: async () => {} };
  const { t, clean } = cleanUp();
  return { application: await serveApplication(t, root), close: clean };
}

/** The same root and what was seen of it, elsewhere and with other databases and application. */
export async function copyRoot(
  from: ChaosRoot,
  root: string,
  copyDatabase: (url: string) => Promise<string>,
): Promise<ChaosRoot> {
  execFileSync('cp', ['-a', from.root, root]);
  const copied = async (url: string | undefined) =>
    url === undefined ? undefined : await copyDatabase(url);
  const { seen, locks, damages } = from.memory;
  const memory = { seen: [...seen], locks: new Map(locks), damages: new Set(damages) };
  const beside = await applicationBeside(root, from.application !== undefined);
  for (const version of from.application?.sick ?? []) beside.application?.sick.add(version);
  return {
    ...from,
    root,
    databaseUrl: await copied(from.databaseUrl),
    migrationsUrl: await copied(from.migrationsUrl),
    ...beside,
    memory,
    asked: [...from.asked],
  };
}

export async function removeRoot({ root, close }: ChaosRoot): Promise<void> {
  await close();
  rmSync(handlerLogPath(root), { force: true });
  removeDirectory(root);
}

export function removeDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 5 });
}

/** What a checker has to know of a root on the way to where an arrangement leads. */
export function subjectOf(
  { platform }: ChaosPlatform,
  { root, databaseUrl, migrationsUrl, application, memory, asked, shown }: ChaosRoot,
  { expected, overtaken, damage, keepsOne = false, handled }: Arrangement,
): Subject {
  const { lock, commit } = expected;
  return {
    root,
    ring,
    repository: platform.path,
    allowed: [shown, overtaken, { commit }, lock].filter((one) => one !== undefined),
    expected,
    databaseUrl,
    migrationsUrl,
    ...(application !== undefined && { loaded: () => application.loaded() }),
    asked,
    damage,
    keepsOne,
    handled,
    memory,
  };
}

/** The arguments of a pass on a root, with all that is beside it. */
export function reconcileArguments(
  { repo }: Pick<ChaosPlatform, 'repo'>,
  root: ChaosRoot,
  ...more: readonly string[]
): string[] {
  const { databaseUrl, migrationsUrl, application, link } = root;
  const given = (flag: string, value: string | undefined) =>
    value === undefined ? [] : [flag, value];
  return [
    ...['reconcile', '--repo', repo, '--root', root.root, '--ring', ring, '--link', link],
    ...given('--database-url', databaseUrl),
    ...given('--migrations-database-url', migrationsUrl),
    ...given('--health-url', application?.url),
    ...given('--notify-url', application && `${application.url}/reload`),
    ...more,
  ];
}
