import { badInput } from '../errors.ts';
import type { AuditEvent } from './event.ts';

/** Which events are meant; all without any. */
export interface EventFilter {
  /** This moment and later. */
  readonly since?: Date | undefined;
  /** Before this moment. */
  readonly until?: Date | undefined;
  readonly ring?: string | undefined;
  readonly module?: string | undefined;
  readonly outcome?: string | undefined;
}

export function isMeant(event: AuditEvent, filter: EventFilter): boolean {
  const time = Date.parse(event.time);
  const { since, until, ring, module, outcome } = filter;
  return (
    (since === undefined || time >= since.getTime()) &&
    (until === undefined || time < until.getTime()) &&
    (ring === undefined || event.ring === ring) &&
    (module === undefined || event.module === module) &&
    (outcome === undefined || event.outcome === outcome)
  );
}

/**
 * A moment as a person gives it: `2026-11-25` is its beginning in UTC, a time needs its offset.
 *
 * @param option its name, for the message
 * @throws RinglockError `invalid-time`
 */
export function parseMoment(text: string, option: string): Date {
  const isKnown = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const moment = new Date(text);
  if (isKnown && !Number.isNaN(moment.getTime())) return moment;
  throw badInput(
    'invalid-time',
    `${option} is ${JSON.stringify(text)}, expected a date or a time with its offset, as 2026-11-25 or 2026-11-25T08:00:00Z`,
  );
}
