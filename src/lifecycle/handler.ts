import { type RinglockError, refused } from '../errors.ts';
import { parseDuration } from '../repo/duration.ts';
import type { LifecycleEvent, LifecycleHandler } from '../repo/module-manifest.ts';
import { childEnvironment, withTemporaryDirectory } from './handler-environment.ts';
import { callHttp, connectionReason } from './handler-http.ts';
import { harmless, KeptOutput, lastWords } from './handler-output.ts';
import { type ChildEnd, defaultKillGraceMs, runChild } from './handler-process.ts';
import { type HandlerProgram, handlerProgram, handlerUrl } from './handler-target.ts';
import { showMs, TimeLimitPassed, withTimeLimit } from './handler-time-limit.ts';

export interface HandlerCall {
  readonly event: LifecycleEvent;
  readonly alias: string;
  readonly ring: string;
  readonly tenant?: string;
  readonly fromVersion: string | null;
  readonly toVersion: string | null;
  /** The immutable directory of the version whose code runs (always the newer one's). */
  readonly codePath: string;
  /** The directory of the version becoming active; null for a removal. */
  readonly sourcePath: string | null;
  /** The parsed module.json of the version whose code runs. */
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly operationId: string;
  readonly handler: LifecycleHandler;
  /** For `once: replica` handlers: a directory they may write to. */
  readonly writableDirectory?: string;
}

export interface HandlerLimits {
  /** The handler's own `timeout` wins. */
  readonly timeoutMs: number;
  /** How much of the output is kept. */
  readonly outputBytes: number;
  /** Between SIGTERM and SIGKILL; default 2 s. */
  readonly killGraceMs?: number;
}

export interface HandlerResult {
  /** Cut, harmless in a terminal, redacted. */
  readonly output: string;
  readonly durationMs: number;
}

export const defaultHandlerLimits: HandlerLimits = {
  timeoutMs: 60_000,
  outputBytes: 64 * 1024,
};

/**
 * Runs one handler to its end: a file of the module as a child process, or a POST to the application
 * in the same pod. docs/lifecycle.md is the contract with whoever writes handlers.
 *
 * @param environment the parent's; a handler gets a named few of its variables
 * @throws RinglockError `handler-refused`, `handler-missing`, `handler-failed`, `handler-timeout`;
 *   the signal's reason
 */
export async function runHandler(
  call: HandlerCall,
  limits: HandlerLimits,
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv,
): Promise<HandlerResult> {
  signal.throwIfAborted();
  const timeoutMs =
    call.handler.timeout === undefined
      ? limits.timeoutMs
      : parseDuration(call.handler.timeout, `the timeout of ${called(call)}`);
  const limited = { ...limits, timeoutMs };
  const url = handlerUrl(call);
  if (url !== undefined) return await postToApplication(call, url, limited, signal);
  return await runProgram(call, await handlerProgram(call), limited, signal, environment);
}

function runProgram(
  call: HandlerCall,
  program: HandlerProgram,
  limits: HandlerLimits,
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv,
): Promise<HandlerResult> {
  const facts = {
    RINGLOCK_EVENT: call.event,
    RINGLOCK_RING: call.ring,
    RINGLOCK_OPERATION_ID: call.operationId,
    RINGLOCK_TENANT: call.tenant,
  };
  const unwritable = (directory: string, cause: unknown) =>
    failure('handler-failed', call, `cannot be started: ${directory} is not writable`, {
      hint: 'Give the pod a writable TMPDIR.',
      cause,
    });
  return withTemporaryDirectory(environment, unwritable, async (temporary) => {
    const end = await runChild(
      {
        ...program,
        environment: childEnvironment(environment, temporary, facts, call.writableDirectory),
        input: `${JSON.stringify(contextOf(call))}\n`,
        timeoutMs: limits.timeoutMs,
        outputBytes: limits.outputBytes,
        killGraceMs: limits.killGraceMs ?? defaultKillGraceMs,
        temporary,
      },
      signal,
    );
    if (end.exitCode !== 0 || end.timedOut) throw programFailure(call, end, limits.timeoutMs);
    return { output: end.output, durationMs: end.durationMs };
  });
}

function contextOf(call: HandlerCall): Readonly<Record<string, unknown>> {
  const { event, ring, tenant, fromVersion, toVersion, sourcePath, manifest, operationId } = call;
  const { writableDirectory } = call;
  return {
    event,
    ring,
    ...(tenant !== undefined && { tenant }),
    fromVersion,
    toVersion,
    sourcePath,
    manifest,
    operationId,
    ...(writableDirectory !== undefined && { writableDirectory }),
  };
}

function programFailure(call: HandlerCall, end: ChildEnd, timeoutMs: number): RinglockError {
  const { exitCode, signal, output, durationMs, spawnError } = end;
  if (spawnError !== undefined) {
    return failure('handler-failed', call, `cannot be started: ${spawnError.code}`, {
      hint:
        spawnError.code === 'ENOENT'
          ? 'The interpreter that its first line names is not in this image.'
          : 'Check that this image can run it: its format, its mode, the memory left.',
      cause: spawnError,
    });
  }
  const details = { exitCode, signal, durationMs };
  if (end.timedOut) return timeoutFailure(call, timeoutMs, output, details);
  const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
  return failure('handler-failed', call, how, { output, details });
}

function timeoutFailure(
  call: HandlerCall,
  timeoutMs: number,
  output: string,
  details: Readonly<Record<string, unknown>> = {},
): RinglockError {
  return failure('handler-timeout', call, `did not end within ${showMs(timeoutMs)}`, {
    output,
    details: { ...details, timeoutMs },
    hint: 'Make it faster, or give it a longer "timeout" in module.json.',
  });
}

async function postToApplication(
  call: HandlerCall,
  url: URL,
  limits: HandlerLimits,
  signal: AbortSignal,
): Promise<HandlerResult> {
  const started = performance.now();
  const kept = new KeptOutput(limits.outputBytes);
  let status: number | undefined;
  try {
    await withTimeLimit(limits.timeoutMs, signal, (limited) =>
      callHttp({ method: 'POST', url, body: contextOf(call) }, limited, async (response) => {
        status = response.statusCode;
        for await (const chunk of response.body) kept.add(chunk);
      }),
    );
  } catch (error) {
    if (signal.aborted) throw error;
    const output = kept.text();
    if (error instanceof TimeLimitPassed) throw timeoutFailure(call, limits.timeoutMs, output);
    const what = status === undefined ? 'gave no answer' : `broke its answer (${status}) off`;
    throw failure('handler-failed', call, `${what}: ${connectionReason(error)}`, {
      output,
      hint: 'The application in the same pod has to listen there.',
      cause: error,
    });
  }
  const output = kept.text();
  if (status === undefined || status < 200 || status > 299) {
    throw failure('handler-failed', call, `answered with ${status}`, {
      output,
      details: { status },
    });
  }
  return { output, durationMs: Math.round(performance.now() - started) };
}

interface FailureParts {
  readonly output?: string;
  readonly hint?: string;
  readonly cause?: unknown;
  readonly details?: Readonly<Record<string, unknown>>;
}

function failure(
  code: string,
  call: HandlerCall,
  what: string,
  { output = '', hint, cause, details = {} }: FailureParts,
): RinglockError {
  const words = lastWords(output);
  return refused(code, `${called(call)} ${what}${words === '' ? '' : `: ${words}`}`, {
    hint:
      hint ??
      `Its output says why; ${call.tenant === undefined ? 'the version before goes on serving' : 'the operation goes on'}.`,
    cause,
    details: {
      module: call.alias,
      event: call.event,
      ...(call.tenant !== undefined && { tenant: call.tenant }),
      handler: harmless(call.handler.run),
      ...details,
      output: output.slice(-4096),
    },
  });
}

function called({ alias, event, tenant, handler }: HandlerCall): string {
  const whose = tenant === undefined ? '' : ` of tenant ${tenant}`;
  return `${event} of ${alias}${whose} (${harmless(handler.run)})`;
}
