import { environmentFailed, RinglockError } from '../errors.ts';
import { childEnvironment, withTemporaryDirectory } from './handler-environment.ts';
import { harmless, lastWords } from './handler-output.ts';
import { type ChildEnd, defaultKillGraceMs, runChild } from './handler-process.ts';
import { showMs } from './handler-time-limit.ts';
import { postNotification } from './notify-http.ts';
import { sendSignal } from './notify-signal.ts';

export interface NotifyTargets {
  readonly http?: { readonly url: string; readonly timeoutMs: number };
  readonly signal?: { readonly pidFile: string; readonly signal: NodeJS.Signals };
  /** A program and its arguments; only ever from the pod's own flags (invariant 7). */
  readonly command?: readonly string[];
  /** For the command. */
  readonly timeoutMs: number;
}

export interface NotifyPayload {
  readonly ring: string;
  readonly replica: string;
  readonly operationId: string;
  readonly generation: number;
  readonly commit: string | null;
  readonly lockDigest: string;
  readonly previousGeneration: number | null;
}

export interface Notified {
  readonly kind: 'http' | 'signal' | 'command';
  /** What was done, in words. */
  readonly detail: string;
}

/**
 * Tells the application of a switch, in every way that is asked for, one after the other; a way that
 * fails does not keep the next from being tried.
 *
 * @throws RinglockError `notify-failed`: the first failure, the others in `details.others`; the
 *   signal's reason
 */
export async function notifyApplication(
  targets: NotifyTargets,
  payload: NotifyPayload,
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv,
): Promise<readonly Notified[]> {
  const { http, signal: target, command } = targets;
  const done: Notified[] = [];
  const failures: RinglockError[] = [];
  const attempt = async (kind: Notified['kind'], tell: () => Promise<string>) => {
    signal.throwIfAborted();
    try {
      done.push({ kind, detail: await tell() });
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      failures.push(error);
    }
  };
  if (http !== undefined) await attempt('http', () => postNotification(http, payload, signal));
  if (target !== undefined) await attempt('signal', () => sendSignal(target));
  if (command !== undefined) {
    const run = async () => runCommand(command, targets.timeoutMs, payload, signal, environment);
    await attempt('command', run);
  }
  const [first, ...others] = failures;
  if (first === undefined) return done;
  throw environmentFailed(first.code, first.message, {
    ...(first.hint !== undefined && { hint: first.hint }),
    cause: first.cause,
    details: { ...first.details, others: others.map(({ message }) => message), done },
  });
}

function runCommand(
  command: readonly string[],
  timeoutMs: number,
  payload: NotifyPayload,
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const [file = '', ...args] = command;
  if (file === '') throw commandFailed('it is empty', 'Give a program and its arguments.');
  const unwritable = (directory: string) =>
    commandFailed(`${directory} is not writable`, 'Give the pod a writable TMPDIR.');
  return withTemporaryDirectory(environment, unwritable, async (temporary) => {
    const end = await runChild(
      {
        file,
        args,
        cwd: process.cwd(),
        environment: childEnvironment(environment, temporary, factsOf(payload)),
        input: `${JSON.stringify(payload)}\n`,
        timeoutMs,
        outputBytes: 16 * 1024,
        killGraceMs: defaultKillGraceMs,
        temporary,
      },
      signal,
    );
    if (end.exitCode === 0 && !end.timedOut) {
      return `${harmless(file)} ended well after ${showMs(end.durationMs)}`;
    }
    throw commandFailure(harmless(file), end, timeoutMs);
  });
}

function commandFailure(file: string, end: ChildEnd, timeoutMs: number): RinglockError {
  if (end.spawnError !== undefined) {
    const { code } = end.spawnError;
    return commandFailed(`${file} cannot be started: ${code}`, 'Is it in the image?');
  }
  const ended = end.signal === null ? `with exit code ${end.exitCode}` : `by ${end.signal}`;
  const how = end.timedOut ? `did not end within ${showMs(timeoutMs)}` : `ended ${ended}`;
  const words = lastWords(end.output);
  return commandFailed(`${file} ${how}${words === '' ? '' : `: ${words}`}`);
}

function factsOf(payload: NotifyPayload): Readonly<Record<string, string | undefined>> {
  return {
    RINGLOCK_RING: payload.ring,
    RINGLOCK_REPLICA: payload.replica,
    RINGLOCK_OPERATION_ID: payload.operationId,
    RINGLOCK_GENERATION: String(payload.generation),
    RINGLOCK_COMMIT: payload.commit ?? undefined,
    RINGLOCK_LOCK_DIGEST: payload.lockDigest,
    RINGLOCK_PREVIOUS_GENERATION: payload.previousGeneration?.toString(),
  };
}

function commandFailed(why: string, hint = 'Its output says why.'): RinglockError {
  return environmentFailed('notify-failed', `the notify command failed: ${why}`, {
    hint,
    details: { kind: 'command' },
  });
}
