import {
  addDays,
  instantsOf,
  isWallTime,
  type WallTime,
  wallTimeAt,
  weekdayOf,
} from './wall-clock.ts';

/** A freeze as the ring's file has it. */
export interface FreezeYaml {
  readonly from: string;
  readonly to: string;
  readonly timezone?: string;
  readonly reason?: string;
}

/** A time during which nothing is promoted to a ring. */
export interface FreezeWindow {
  readonly from: FreezeTime;
  /** The first minute that is open again. */
  readonly to: FreezeTime;
  /** IANA name. */
  readonly timeZone: string;
  readonly reason: string | undefined;
  /** As written, `fri 16:00 to mon 08:00 Europe/Berlin`. */
  readonly text: string;
}

type FreezeTime =
  | { readonly kind: 'once'; readonly wall: WallTime }
  /** `weekday` 0 is Monday. */
  | {
      readonly kind: 'weekly';
      readonly weekday: number;
      readonly hour: number;
      readonly minute: number;
    };

/** A freeze that holds, and when it ends. */
export interface Freeze {
  readonly window: FreezeWindow;
  /** Milliseconds since 1970 at which no window of the ring holds any more; undefined: not within two years. */
  readonly opensAt: number | undefined;
}

/**
 * Reads a window. A date alone begins with its day, and as an end ends with it.
 *
 * @returns a text that says what is wrong, and in which field
 */
export function parseFreezeWindow(
  yaml: FreezeYaml,
): FreezeWindow | { readonly field: 'from' | 'to'; readonly expected: string } {
  const from = parseTime(yaml.from, 'from');
  const to = parseTime(yaml.to, 'to');
  if (from === undefined) return { field: 'from', expected: timeForms };
  if (to === undefined) return { field: 'to', expected: timeForms };
  if (from.kind !== to.kind) {
    return {
      field: 'to',
      expected: `a ${from.kind === 'once' ? 'date' : 'weekday'} as from is one`,
    };
  }
  const timeZone = yaml.timezone ?? 'UTC';
  const window = {
    ...{ from, to, timeZone, reason: yaml.reason },
    text: `${yaml.from} to ${yaml.to} ${timeZone}`,
  };
  if (!isForward(window)) return { field: 'to', expected: 'a time after from' };
  return window;
}

/** The freeze that holds at an instant (milliseconds since 1970), of whichever windows; undefined when none does. */
export function freezeAt(windows: readonly FreezeWindow[], instant: number): Freeze | undefined {
  let at = instant;
  let first: FreezeWindow | undefined;
  // Windows may follow each other without a gap, or overlap.
  for (;;) {
    const held = windows.flatMap((window) => {
      const end = endOf(window, at);
      return end === undefined ? [] : [{ window, end }];
    });
    const [longest] = held.sort((a, b) => b.end - a.end);
    if (longest === undefined) return first && { window: first, opensAt: at };
    first ??= longest.window;
    at = longest.end;
    if (at - instant > searchedMs) return { window: first, opensAt: undefined };
  }
}

const searchedMs = 2 * 366 * 86_400_000;

const timeForms = '2026-12-20, 2026-12-20T18:00, or a weekday and an hour such as fri 16:00';

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

function parseTime(text: string, side: 'from' | 'to'): FreezeTime | undefined {
  const [, weekday = '', weekHour, weekMinute] = /^([a-z]{3}) (\d\d):(\d\d)$/i.exec(text) ?? [];
  if (weekHour !== undefined) {
    const index = weekdays.indexOf(weekday.toLowerCase());
    const [hour, minute] = [Number(weekHour), Number(weekMinute)];
    if (index === -1 || hour > 23 || minute > 59) return undefined;
    return { kind: 'weekly', weekday: index, hour, minute };
  }
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?$/.exec(text);
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0] = match
    .slice(1)
    .map((digits) => Number(digits ?? 0));
  const wall = { year, month, day, hour, minute };
  if (!isWallTime(wall)) return undefined;
  const isWholeDay = match[4] === undefined && side === 'to';
  return { kind: 'once', wall: isWholeDay ? addDays(wall, 1) : wall };
}

function isForward({
  from,
  to,
  timeZone,
}: Pick<FreezeWindow, 'from' | 'to' | 'timeZone'>): boolean {
  if (from.kind === 'once' && to.kind === 'once') {
    return instantsOf(from.wall, timeZone).first < instantsOf(to.wall, timeZone).last;
  }
  // From a time in the week to the same one would be always, or never.
  if (from.kind === 'weekly' && to.kind === 'weekly') {
    return from.weekday !== to.weekday || from.hour !== to.hour || from.minute !== to.minute;
  }
  return false;
}

/** When the window ends that holds at an instant; undefined when it does not hold then. */
function endOf({ from, to, timeZone }: FreezeWindow, instant: number): number | undefined {
  if (from.kind === 'once' && to.kind === 'once') {
    const end = instantsOf(to.wall, timeZone).last;
    return instantsOf(from.wall, timeZone).first <= instant && instant < end ? end : undefined;
  }
  if (from.kind !== 'weekly' || to.kind !== 'weekly') return undefined;
  const today = wallTimeAt(instant, timeZone);
  const span = minutesBetween(from, to);
  // The one of this week, or the one before: none is as long as a week.
  for (const week of [0, -7]) {
    const days = from.weekday - weekdayOf(today) + week;
    const begins = addDays({ ...today, hour: from.hour, minute: from.minute }, days);
    const ends = addDays({ ...begins, hour: to.hour, minute: to.minute }, daysOf(from, span));
    const end = instantsOf(ends, timeZone).last;
    if (instantsOf(begins, timeZone).first <= instant && instant < end) return end;
  }
  return undefined;
}

type Weekly = Extract<FreezeTime, { kind: 'weekly' }>;

const weekMinutes = 7 * 24 * 60;

function minuteOfWeek({ weekday, hour, minute }: Weekly): number {
  return weekday * 1440 + hour * 60 + minute;
}

function minutesBetween(from: Weekly, to: Weekly): number {
  return (minuteOfWeek(to) - minuteOfWeek(from) + weekMinutes) % weekMinutes;
}

/** Days that the end's date lies after the beginning's. */
function daysOf({ hour, minute }: Weekly, span: number): number {
  return Math.floor((hour * 60 + minute + span) / 1440);
}
