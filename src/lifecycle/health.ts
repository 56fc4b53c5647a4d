import { setTimeout as sleep } from 'node:timers/promises';
import { badInput } from '../errors.ts';
import { callHttp, connectionReason, parseHttpUrl } from './handler-http.ts';
import { harmless } from './handler-output.ts';
import { longestTimer, showMs, TimeLimitPassed, withTimeLimit } from './handler-time-limit.ts';

export interface HealthCheck {
  readonly url: string;
  /** The statuses that count as healthy; empty: any 2xx. */
  readonly status: readonly number[];
  /** How long every answer has to be good, from the first good one on. */
  readonly stableForMs: number;
  /** How long to wait for that altogether. */
  readonly timeoutMs: number;
  /** Between the end of one probe and the next. */
  readonly intervalMs: number;
  /** For the status line of one answer. */
  readonly probeTimeoutMs: number;
}

export interface Health {
  readonly healthy: boolean;
  /** In words, without credentials. */
  readonly reason: string;
}

export interface HealthWait extends Health {
  readonly tookMs: number;
  readonly probes: number;
}

/**
 * Asks once, over a connection of its own: an application that is ending still answers on a
 * connection that was kept alive.
 *
 * @throws RinglockError `invalid-health-url`; the signal's reason
 */
export async function probeHealth(check: HealthCheck, signal: AbortSignal): Promise<Health> {
  const { healthy, reason } = await probe(check, signal, check.probeTimeoutMs);
  return { healthy, reason };
}

/**
 * Asks until every answer of `stableForMs` was good, or `timeoutMs` has passed.
 *
 * @param now milliseconds of a clock that nobody sets
 * @throws RinglockError `invalid-health-url`; the signal's reason
 */
export async function waitForHealth(
  check: HealthCheck,
  signal: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<HealthWait> {
  const start = now();
  const deadline = start + check.timeoutMs;
  let goodSince: number | undefined;
  let lastBad: string | undefined;
  let probes = 0;
  for (;;) {
    const limit = Math.min(check.probeTimeoutMs, Math.max(1, deadline - now()));
    const { healthy, reason, unanswered } = await probe(check, signal, limit);
    const at = now();
    probes++;
    if (healthy) {
      goodSince ??= at;
      if (at - goodSince >= check.stableForMs) {
        return { healthy: true, reason, tookMs: Math.round(at - start), probes };
      }
    } else if (!unanswered || limit === check.probeTimeoutMs) {
      lastBad = reason;
      goodSince = undefined;
    }
    // A probe that only the deadline cut short says nothing of the application.
    if (at >= deadline) {
      const why = goodSince === undefined ? lastBad : notStable(check, at - goodSince, lastBad);
      return { healthy: false, reason: why ?? reason, tookMs: Math.round(at - start), probes };
    }
    const due = goodSince === undefined ? deadline : goodSince + check.stableForMs;
    await pause(Math.min(check.intervalMs, due - at, deadline - at), signal);
  }
}

interface Probe extends Health {
  /** No status came in time. */
  readonly unanswered: boolean;
}

async function probe(check: HealthCheck, signal: AbortSignal, limitMs: number): Promise<Probe> {
  const url = parseUrl(check.url);
  let status: number | undefined;
  try {
    await withTimeLimit(limitMs, signal, (limited) =>
      callHttp({ method: 'GET', url }, limited, async (response) => {
        status = response.statusCode;
        // To be polite: an application that is cut off in an answer writes that to its log.
        await response.body.dump({ limit: drainBytes, signal: limited });
      }),
    );
  } catch (error) {
    signal.throwIfAborted();
    // What comes after the status line is not looked at, so its failure is none.
    if (status === undefined) return silence(check, error, limitMs);
  }
  const healthy = isExpected(check, status);
  const expected = check.status.length === 0 ? '2xx' : check.status.join(' or ');
  const shown = harmless(check.url);
  return {
    healthy,
    reason: `${shown} answers ${status}${healthy ? '' : `, expected ${expected}`}`,
    unanswered: false,
  };
}

const drainBytes = 64 * 1024;

function silence(check: HealthCheck, error: unknown, limitMs: number): Probe {
  const unanswered = error instanceof TimeLimitPassed;
  const why = unanswered
    ? `does not answer within ${showMs(limitMs)}`
    : `cannot be reached: ${harmless(connectionReason(error))}`;
  return { healthy: false, reason: `${harmless(check.url)} ${why}`, unanswered };
}

function isExpected({ status: expected }: HealthCheck, status: number | undefined): boolean {
  if (status === undefined) return false;
  return expected.length === 0 ? status >= 200 && status <= 299 : expected.includes(status);
}

function notStable(check: HealthCheck, goodForMs: number, lastBad: string | undefined): string {
  const before = lastBad === undefined ? '' : `; before that, ${lastBad}`;
  return `${harmless(check.url)} was healthy for ${showMs(goodForMs)} of ${showMs(check.stableForMs)} when the time was up${before}`;
}

function parseUrl(text: string): URL {
  const url = parseHttpUrl(text);
  if (typeof url !== 'string') return url;
  throw badInput(
    'invalid-health-url',
    `the health check asks ${JSON.stringify(harmless(text))}, which ${url}`,
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(Math.min(Math.max(1, ms), longestTimer), undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
