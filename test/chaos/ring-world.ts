import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { cliPath } from '../support/cli.ts';
import { deploy } from '../support/deploy.ts';
import { HandlerLog } from '../support/handler-log.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A replica's process, which may be killed and started again at any moment. */
export interface ChaosReplica {
  readonly name: string;
  readonly root: string;
  isRunning(): boolean;
  kill(): Promise<void>;
  start(): void;
}

/** What one commit of the run asks for. */
export interface ChaosOperation {
  readonly commit: string;
  readonly version: string;
  readonly idempotent: boolean;
}

/** A ring, its databases, and the platform whose commits it follows. */
export interface RingWorld {
  readonly platform: Platform;
  readonly log: HandlerLog;
  readonly ringUrl: string;
  readonly applicationUrl: string;
  readonly replicas: readonly ChaosReplica[];
  /** Releases the next version of Orders, with one migration more and a handler. */
  upgrade(idempotent: boolean): ChaosOperation;
  /** Reverts the last upgrade that is not reverted; undefined when there is none. */
  downgrade(): ChaosOperation | undefined;
}

export const ring = 'canary';

export async function createRingWorld(t: TestContext, count: number): Promise<RingWorld> {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const log = new HandlerLog(temporaryDirectory(t, 'handlers'));
  const [ringUrl, applicationUrl] = [await createDatabase(), await createDatabase()];
  await query(applicationUrl, 'create table runs (name text, at timestamptz default now())');
  const environment = { DATABASE_URL: ringUrl, MIGRATIONS_DATABASE_URL: applicationUrl };
  const replicas = Array.from({ length: count }, (_, index) =>
    createReplica(t, index, repo, environment),
  );
  let serial = 0;
  const applied: { readonly version: string; readonly idempotent: boolean }[] = [];
  return {
    ...{ platform, log, ringUrl, applicationUrl, replicas },
    upgrade: (idempotent) => {
      serial++;
      const version = `1.${serial}.0`;
      platform.write(versionFiles(platform, log, serial, idempotent));
      applied.push({ version, idempotent });
      return { commit: deploy(platform, `Orders ${version}`), version, idempotent };
    },
    downgrade: () => {
      const left = applied.pop();
      if (left === undefined) return undefined;
      const before = `--source=${versionBefore(platform, left.version)}`;
      platform.git('restore', before, '--staged', '--worktree', 'modules');
      const commit = deploy(platform, `Leave Orders ${left.version}`);
      return { commit, version: applied.at(-1)?.version ?? '1.0.0', idempotent: left.idempotent };
    },
  };
}

/** The commit before the one that brought a version. */
function versionBefore(platform: Platform, version: string): string {
  return platform.git('log', '-1', '--format=%H^', `--grep=^Orders ${version}$`);
}

function versionFiles(
  platform: Platform,
  log: HandlerLog,
  serial: number,
  idempotent: boolean,
): Record<string, string> {
  const manifest = JSON.parse(platform.read('modules/Orders/module.json'));
  const run = { run: 'lifecycle/tell.mjs', idempotent };
  const lifecycle = { onUpgrade: run, onDowngrade: run };
  const name = `${String(serial).padStart(4, '0')}_step`;
  return {
    'modules/Orders/module.json': `${JSON.stringify({ ...manifest, version: `1.${serial}.0`, lifecycle }, null, 2)}\n`,
    'modules/Orders/lifecycle/tell.mjs': log.code(500),
    [`modules/Orders/migrations/${name}.up.sql`]: `insert into runs (name) values ('${name}');\nselect pg_sleep(0.3);\n`,
    [`modules/Orders/migrations/${name}.down.sql`]: `-- ringlock: safe-down\ninsert into runs (name) values ('down ${name}');\n`,
  };
}

function createReplica(
  t: TestContext,
  index: number,
  repo: string,
  environment: NodeJS.ProcessEnv,
): ChaosReplica {
  const name = `r${index}`;
  const home = temporaryDirectory(t, `replica${index}`);
  const root = join(home, 'root');
  mkdirSync(root);
  const args = [
    ...['reconcile', '--watch', '--repo', repo, '--root', root, '--ring', ring],
    ...['--replica', name, '--interval', '500ms'],
  ];
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  onEnd(t, kill);
  return {
    name,
    root,
    kill,
    isRunning: () => child !== undefined && child.exitCode === null && child.signalCode === null,
    start: () => {
      child = spawn(process.execPath, [cliPath, ...args], {
        cwd: home,
        env: { ...gitEnvironment, NO_COLOR: '1', ...environment },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      child.stderr?.pipe(createWriteStream(join(home, 'log'), { flags: 'a' }));
    },
  };
}
