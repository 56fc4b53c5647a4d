import { createHash } from 'node:crypto';
import canonicalizeModule from 'canonicalize';
import { badInput } from '../errors.ts';
import { redactValues } from '../redaction.ts';
import type { AuditEvent, AuditEventInput } from './event.ts';

/** RFC 8785. The package's types describe an ES module; it is CommonJS, its export the function. */
export const canonicalJson = canonicalizeModule as unknown as (value: unknown) => string;

/** Where an event stands in its chain. */
export interface ChainLink {
  readonly sequence: number;
  readonly time: string;
  readonly previous: string;
}

/** `previous` of a chain's first event. */
export const chainStart = '0'.repeat(64);

/**
 * Completes an event and writes it as its journal line (no line break).
 *
 * What people and programs wrote (actor, detail) is redacted; names and digests stay, or nothing would
 * find the event by them. Text loses what Postgres cannot hold (NUL, lone surrogates: both become
 * U+FFFD), so that a kept event can always be delivered.
 *
 * @throws RinglockError `invalid-audit-event` for an id that is not a UUID
 */
export function formatEvent(
  input: AuditEventInput,
  link: ChainLink,
): { event: AuditEvent; line: string } {
  for (const id of [input.id, input.operationId]) {
    if (!uuidPattern.test(id)) {
      throw badInput('invalid-audit-event', `the audit event id ${id} is not a lower-case UUID`);
    }
  }
  const kept = storable(input) as AuditEventInput;
  const { actor, detail } = kept;
  const unsigned = { ...kept, ...redactValues({ actor, detail }), ...link };
  const event = { ...unsigned, hash: sha256(canonicalJson(unsigned)) };
  return { event, line: canonicalJson(event) };
}

/**
 * Reads a journal line and checks it by itself: canonical, complete, and as its own hash says.
 *
 * @returns the event, or in words what is wrong
 */
export function parseEvent(line: string): AuditEvent | string {
  const { event, problem } = inspectEvent(line);
  return problem ?? event ?? 'is not an audit event';
}

/** What a line says of itself, also when it is not what was once appended. */
export interface InspectedEvent {
  /** Absent when the line is no event at all. */
  readonly event?: AuditEvent;
  /** The hash of its content, to be compared with the one it carries. */
  readonly computed?: string;
  /** In words what is wrong, if anything is. */
  readonly problem?: string;
}

export function inspectEvent(line: string): InspectedEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { problem: 'is not JSON' };
  }
  if (!isEvent(value)) return { problem: 'is not an audit event' };
  const computed = hashOfContent(value);
  if (computed === undefined || canonicalJson(value) !== line) {
    return { event: value, problem: 'is not canonical JSON (RFC 8785)' };
  }
  if (computed !== value.hash) return { event: value, computed, problem: 'differs from its hash' };
  return { event: value, computed };
}

/** The hash that an event's content has, whatever it says it is; undefined when it has no canonical form. */
export function hashOfContent({ hash: _, ...unsigned }: AuditEvent): string | undefined {
  try {
    return sha256(canonicalJson(unsigned));
  } catch {
    // A number beyond a double, or nesting deeper than the stack.
    return undefined;
  }
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function storable(value: unknown): unknown {
  // A round trip through JSON first: what it cannot say (undefined, NaN) must not stop an append.
  return JSON.parse(JSON.stringify(value), (_, held: unknown) => {
    if (typeof held === 'string') return storableText(held);
    if (typeof held !== 'object' || held === null || Array.isArray(held)) return held;
    return Object.fromEntries(Object.entries(held).map(([key, of]) => [storableText(key), of]));
  });
}

function storableText(text: string): string {
  return text.replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}

function isEvent(value: unknown): value is AuditEvent {
  if (typeof value !== 'object' || value === null) return false;
  const event = value as Partial<Record<keyof AuditEvent, unknown>>;
  return (
    [event.id, event.ring, event.replica, event.time, event.previous, event.hash].every(
      (field) => typeof field === 'string',
    ) && Number.isSafeInteger(event.sequence)
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
