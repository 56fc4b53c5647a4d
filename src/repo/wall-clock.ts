/** A date and time as a clock on the wall shows it, in minutes; `month` is 1 to 12. */
export interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

const minuteMs = 60_000;
const dayMs = 86_400_000;

/** Whether a name is one of an IANA time zone that this runtime knows. */
export function isTimeZone(name: string): boolean {
  try {
    // Offsets such as +02:00 are taken by newer runtimes only: a file has to mean the same everywhere.
    return !/^[+-]/.test(name) && formatterOf(name) !== undefined;
  } catch {
    return false;
  }
}

/** What the clock on a wall shows at an instant (milliseconds since 1970). */
export function wallTimeAt(instant: number, timeZone: string): WallTime {
  const parts = formatterOf(timeZone).formatToParts(instant);
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value);
  return {
    year: part('year'),
    month: part('month'),
    day: part('day'),
    hour: part('hour'),
    minute: part('minute'),
  };
}

/**
 * The instants at which a clock shows a time: two where it is put back over it. Where it is put forward
 * over it, the instant at which that happens.
 */
export function instantsOf(
  wall: WallTime,
  timeZone: string,
): { readonly first: number; readonly last: number } {
  const asUtc = utcOf(wall);
  const offsets = [asUtc - dayMs, asUtc + dayMs].map((near) => offsetAt(near, timeZone));
  const shown = [...new Set(offsets)]
    .map((offset) => asUtc - offset)
    .filter((instant) => instant + offsetAt(instant, timeZone) === asUtc);
  if (shown.length > 0) return { first: Math.min(...shown), last: Math.max(...shown) };
  const [before = 0, after = 0] = offsets;
  const jump = findJump(asUtc - Math.max(before, after), asUtc - Math.min(before, after), timeZone);
  return { first: jump, last: jump };
}

/** The wall time some days later (or, with a negative number, earlier), at the same hour. */
export function addDays(wall: WallTime, days: number): WallTime {
  const date = new Date(utcOf(wall) + days * dayMs);
  return {
    ...wall,
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
  };
}

/** 0 is Monday. */
export function weekdayOf(wall: WallTime): number {
  return (new Date(utcOf(wall)).getUTCDay() + 6) % 7;
}

/** Whether there is such a day and hour at all. */
export function isWallTime({ year, month, day, hour, minute }: WallTime): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60;
}

/** The first minute at which the clock of the later offset holds. */
function findJump(from: number, to: number, timeZone: string): number {
  const later = offsetAt(to, timeZone);
  let [low, high] = [Math.floor(from / minuteMs), Math.ceil(to / minuteMs)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * minuteMs, timeZone) === later) high = middle;
    else low = middle;
  }
  return high * minuteMs;
}

function utcOf({ year, month, day, hour, minute }: WallTime): number {
  return Date.UTC(year, month - 1, day, hour, minute);
}

/** Milliseconds that the wall is ahead of UTC, to the minute. */
function offsetAt(instant: number, timeZone: string): number {
  return utcOf(wallTimeAt(instant, timeZone)) - Math.floor(instant / minuteMs) * minuteMs;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const known = formatters.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  formatters.set(timeZone, made);
  return made;
}
