import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Log, LogFields } from '../../src/reconcile/log.ts';
import {
  type OpenReconciler,
  openReconciler,
  type ReconcileOptions,
} from '../../src/reconcile/open-reconciler.ts';
import { PassClock } from '../../src/reconcile/pass-clock.ts';
import { sturdyPass } from '../../src/reconcile/sturdy-pass.ts';
import { watchedPass } from '../../src/reconcile/watched-pass.ts';
import { serveObserved } from '../../src/serve/server.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { onEnd } from './cleanup.ts';
import { defaultOptions } from './reconcile-options.ts';
import { temporaryDirectory } from './temporary.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** A reconciler in this process, with its server, whose passes a test makes one by one. */
export interface Sidecar {
  readonly opened: OpenReconciler;
  readonly clock: PassClock;
  readonly url: string;
  readonly lines: readonly LogLine[];
  /** How often a webhook had the ring look. */
  looks(): number;
  pass(): Promise<RootStatus>;
  get(path: string, init?: RequestInit): Promise<Response>;
}

export async function startSidecar(
  t: TestContext,
  repository: string,
  { secrets = [], ...more }: Partial<ReconcileOptions> & { secrets?: readonly string[] } = {},
): Promise<Sidecar> {
  const lines: LogLine[] = [];
  const log = recordingLog(lines);
  const clock = new PassClock();
  const opened = await openReconciler({ ...options(t, repository), ...more }, log);
  let looks = 0;
  const { status, tally, membership, root } = opened;
  const observed = {
    status: () => status.current,
    memory: membership.memory,
    tally,
    clock,
    root: root.path,
  };
  const server = await serveObserved('0', observed, {
    secrets: async () => secrets,
    branch: 'main',
    look: () => {
      looks += 1;
    },
    answers: tally.webhooks,
    log,
  });
  onEnd(t, async () => {
    await server.close();
    await opened.close();
  });
  const pass = watchedPass(sturdyPass(opened, log), { status, tally, clock }, log);
  const { signal } = new AbortController();
  return {
    opened,
    clock,
    url: server.url,
    lines,
    looks: () => looks,
    pass: async () => {
      await pass(signal);
      clock.ended(30_000);
      return status.current;
    },
    get: (path, init) => fetch(`${server.url}${path}`, init),
  };
}

function recordingLog(lines: LogLine[]): Log {
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields });
    };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

function options(t: TestContext, repository: string): ReconcileOptions {
  const directory = temporaryDirectory(t, 'sidecar');
  const root = join(directory, 'root');
  return { ...defaultOptions, repositories: [repository], ring: 'canary', root, contentCheckMs: 0 };
}
