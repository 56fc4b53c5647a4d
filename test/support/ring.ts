import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { serveApplication, type TestApplication } from './application.ts';
import type { ReconcileArguments } from './deploy.ts';
import { temporaryDirectory } from './temporary.ts';
import { startWatching, type Watching } from './watching.ts';

/** One replica of a ring: a reconciler process on a root of its own, with its application. */
export interface Replica {
  readonly name: string;
  readonly root: string;
  readonly application: TestApplication;
  watching: Watching;
  /** The version of a module that is served. */
  served(directory: string): string | undefined;
  /** Kills the reconciler with SIGKILL and starts it again. */
  restart(): void;
}

export interface RingOptions {
  readonly repo: string;
  readonly ring?: string;
  readonly databaseUrl?: string;
  readonly sick?: readonly string[];
  readonly more?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly withHealth?: boolean;
}

/** Starts a replica that watches; its name is `r0`, `r1`, … */
export async function startReplica(
  t: TestContext,
  index: number,
  options: RingOptions,
): Promise<Replica> {
  const root = temporaryDirectory(t, `root${index}`);
  const application = await serveApplication(t, root, options.sick ?? []);
  const name = `r${index}`;
  const args = [
    ...['--replica', name, '--interval', '300ms'],
    ...(options.withHealth === false
      ? []
      : ['--health-url', application.url, '--notify-url', `${application.url}/reload`]),
    ...(options.more ?? []),
  ];
  const where: ReconcileArguments = { repo: options.repo, root, ring: options.ring ?? 'canary' };
  const environment = {
    ...(options.databaseUrl !== undefined && { DATABASE_URL: options.databaseUrl }),
    ...options.environment,
  };
  const start = () => startWatching(t, where, args, environment);
  const replica: Replica = {
    name,
    root,
    application,
    watching: start(),
    served: (directory) => servedVersion(root, directory),
    restart: () => {
      replica.watching.process.kill('SIGKILL');
      replica.watching = start();
    },
  };
  return replica;
}

export function servedVersion(root: string, directory: string): string | undefined {
  try {
    return JSON.parse(readFileSync(join(root, 'current', directory, 'module.json'), 'utf8'))
      .version;
  } catch {
    return undefined;
  }
}
