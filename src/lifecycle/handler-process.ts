import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../unless-aborted.ts';
import { guardGroup } from './handler-guard.ts';
import { KeptOutput } from './handler-output.ts';
import { TimeLimitPassed, withTimeLimit } from './handler-time-limit.ts';

export interface ChildRun {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Its standard input. */
  readonly input: string;
  readonly timeoutMs: number;
  readonly outputBytes: number;
  /** Between SIGTERM and SIGKILL. */
  readonly killGraceMs: number;
  /** An empty directory of this run, for the socket that its output comes through. */
  readonly temporary: string;
}

export interface ChildEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** It could not be started. */
  readonly spawnError: NodeJS.ErrnoException | undefined;
  /** Standard output and standard error in the order they were written. */
  readonly output: string;
  readonly durationMs: number;
}

export const defaultKillGraceMs = 2000;

/**
 * Runs a program to its end, in a process group of its own. Nothing of the group is left when this
 * returns: not after a timeout or an abort, and not what the program itself left running.
 *
 * @throws the signal's reason, once the group is gone
 */
export async function runChild(run: ChildRun, signal: AbortSignal): Promise<ChildEnd> {
  signal.throwIfAborted();
  const started = performance.now();
  const kept = new KeptOutput(run.outputBytes);
  const merged = await openMergedOutput(run.temporary);
  const child = startChild(run, merged?.childEnd);
  merged?.childEnd.destroy();
  if (child instanceof Error) {
    merged?.reader.destroy();
    return { ...notStarted(child), output: '', durationMs: 0 };
  }
  const release = guardGroup(child);
  // A program that does not read its input, or not all of it, is no failure (EPIPE).
  child.stdin?.on('error', () => {});
  child.stdin?.end(run.input);
  const ended = endOf(child);
  const outputs = outputsOf(child, merged?.reader);
  const drained = Promise.all(outputs.map((stream) => collect(stream, kept)));
  let end: EndOfChild = { exitCode: null, signal: null, timedOut: false, spawnError: undefined };
  try {
    end = await withTimeLimit(run.timeoutMs, signal, (limited) => unlessAborted(ended, limited));
  } catch (error) {
    end = { ...((await endGroup(child, ended, run.killGraceMs)) ?? end), timedOut: true };
    if (!(error instanceof TimeLimitPassed)) throw error;
  } finally {
    await within(drainGraceMs, drained);
    killGroup(child, 'SIGKILL');
    release();
    for (const stream of [child.stdin, ...outputs]) stream?.destroy();
  }
  return { ...end, output: kept.text(), durationMs: Math.round(performance.now() - started) };
}

/** For what is still on its way after the end; a grandchild that holds the output open gets no more. */
const drainGraceMs = 250;

type EndOfChild = Omit<ChildEnd, 'output' | 'durationMs'>;

function notStarted(spawnError: NodeJS.ErrnoException): EndOfChild {
  return { exitCode: null, signal: null, timedOut: false, spawnError };
}

/**
 * One socket that the child has as both its outputs: with two pipes the order between them would be
 * lost. Undefined where the path is longer than a socket's may be (104 bytes on some systems).
 */
async function openMergedOutput(
  directory: string,
): Promise<{ readonly childEnd: Socket; readonly reader: Socket } | undefined> {
  const path = join(directory, 'output');
  if (Buffer.byteLength(path) > 100) return undefined;
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const childEnd = connect(path);
  const [[reader]] = await Promise.all([accepted, once(childEnd, 'connect')]);
  server.close();
  return { childEnd, reader };
}

function startChild(run: ChildRun, output: Socket | undefined): ChildProcess | Error {
  const options: SpawnOptions = {
    cwd: run.cwd,
    env: run.environment,
    stdio: output === undefined ? 'pipe' : ['pipe', output, output],
    detached: true,
    shell: false,
  };
  try {
    return spawn(run.file, [...run.args], options);
  } catch (error) {
    return error as Error;
  }
}

function endOf(child: ChildProcess): Promise<EndOfChild> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(notStarted(error)));
    child.once('exit', (exitCode, signal) =>
      resolve({ exitCode, signal, timedOut: false, spawnError: undefined }),
    );
  });
}

function outputsOf(child: ChildProcess, merged: Socket | undefined): readonly Readable[] {
  if (merged !== undefined) return [merged];
  return [child.stdout, child.stderr].filter((stream) => stream !== null);
}

function collect(stream: Readable, kept: KeptOutput): Promise<void> {
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => kept.add(chunk));
    stream.once('error', () => resolve());
    stream.once('close', () => resolve());
  });
}

async function endGroup(
  child: ChildProcess,
  ended: Promise<EndOfChild>,
  graceMs: number,
): Promise<EndOfChild | undefined> {
  killGroup(child, 'SIGTERM');
  const end = await within(graceMs, ended);
  if (end !== undefined) return end;
  killGroup(child, 'SIGKILL');
  // A process that hangs in the kernel outlives SIGKILL for a while; nobody should wait with it.
  return await within(graceMs, ended);
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const patience = new AbortController();
  const passed = sleep(ms, undefined, { signal: patience.signal }).catch(() => undefined);
  try {
    return await Promise.race([promise, passed]);
  } finally {
    patience.abort();
  }
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: all of it has ended.
  }
}
