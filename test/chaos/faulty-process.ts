import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { cliPath } from '../support/cli.ts';
import { gitEnvironment } from '../support/repository.ts';

/** What happens at one step of the program; the classes are those of fault-preload.mjs. */
export interface Fault {
  readonly of: 'step' | 'effect' | 'network' | 'read';
  /** Counted from 1. */
  readonly at: number;
  readonly how: 'throw' | 'kill' | 'kill-during' | 'kill-torn';
  /** How long an operation may get on before `kill-during`, in µs. */
  readonly spinUs?: number;
  /** Only steps count whose `<operation> <target>` this regular expression matches. */
  readonly matching?: string;
}

export interface Step {
  readonly kind: 'effect' | 'network' | 'read';
  readonly operation: string;
  /** A path below the root, or a port. */
  readonly target: string;
}

export interface FaultyRun {
  readonly cwd: string;
  readonly root: string;
  readonly args: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly fault?: Fault;
  /** SIGKILL from outside, so many ms after the start. */
  readonly killAfterMs?: number;
  /** Asked now and then: once true, SIGTERM is sent (for `--watch`). */
  readonly isDone?: () => boolean;
}

export interface FaultyEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** Steps with an effect or on the network, in order. */
  readonly steps: readonly Step[];
  /** How often it looked at the root's disk. */
  readonly reads: number;
  /** The step at which the fault struck. */
  readonly struck: Step | undefined;
  /** It had to be ended because it did not end by itself. */
  readonly hung: boolean;
  readonly ms: number;
  /** Its process group; what it started may outlive it. */
  readonly group: number;
}

/** The program under test: this checkout's build, or another one's. */
const program = process.env['CHAOS_PROGRAM'] ?? cliPath;
/** Longer than any pass here takes on a busy machine. */
const longestMs = 60_000;
const preload = pathToFileURL(join(import.meta.dirname, 'fault-preload.mjs')).href;
let runs = 0;

/** Runs the built program with a fault planted, until it has ended one way or another. */
export async function runFaulty(run: FaultyRun): Promise<FaultyEnd> {
  const log = join(tmpdir(), `ringlock-steps-${process.pid}-${++runs}.log`);
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--import', preload, program, ...run.args], {
    cwd: run.cwd,
    env: {
      ...gitEnvironment,
      NO_COLOR: '1',
      ...run.environment,
      CHAOS_ROOT: run.root,
      CHAOS_LOG: log,
      ...(run.fault && { CHAOS_FAULT: JSON.stringify(run.fault) }),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a group of its own, so that what outlives it can be waited for
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr = (stderr + chunk).slice(-20_000);
  });
  const { hung, code, signal } = await endOf(child, run);
  const ms = performance.now() - startedAt;
  const logged = readLog(log);
  rmSync(log, { force: true });
  return { code, signal, stderr, ...logged, hung, ms, group: child.pid ?? 0 };
}

async function endOf(
  child: ChildProcess,
  { killAfterMs, isDone }: FaultyRun,
): Promise<Pick<FaultyEnd, 'hung' | 'code' | 'signal'>> {
  let hung = false;
  const timers = [
    setTimeout(() => {
      hung = true;
      child.kill('SIGKILL');
    }, longestMs),
  ];
  if (killAfterMs !== undefined) timers.push(setTimeout(() => child.kill('SIGKILL'), killAfterMs));
  const poll = setInterval(() => {
    if (isDone?.() !== true) return;
    clearInterval(poll);
    child.kill('SIGTERM');
  }, 50);
  const ended = await new Promise<Pick<FaultyEnd, 'code' | 'signal'>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  for (const timer of timers) clearTimeout(timer);
  clearInterval(poll);
  return { ...ended, hung };
}

function readLog(path: string): Pick<FaultyEnd, 'steps' | 'reads' | 'struck'> {
  const steps: Step[] = [];
  let reads = 0;
  let struck: Step | undefined;
  for (const line of readText(path).split('\n')) {
    const [number, kind, operation, ...target] = line.split(' ');
    if (kind === undefined || operation === undefined) continue;
    const step = { kind: kind as Step['kind'], operation, target: target.join(' ') };
    if (number === '!') struck = step;
    else if (kind === 'read') reads += 1;
    else steps.push(step);
  }
  return { steps, reads, struck };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Waits until no process of the groups is left: children that a killed parent left behind. */
export async function waitForGroups(groups: Iterable<number>): Promise<void> {
  const until = Date.now() + longestMs;
  for (const group of groups) {
    while (isAlive(group)) {
      if (Date.now() > until) throw new Error(`the process group ${group} does not end`);
      await sleep(10);
    }
  }
}

function isAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}
