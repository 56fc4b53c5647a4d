import { type DestinationStream, pino } from 'pino';
import { badInput } from '../errors.ts';
import { redact, redactValues } from '../redaction.ts';

export type LogFields = Readonly<Record<string, unknown>>;

const levels = ['debug', 'info', 'warn', 'error'] as const;

type LogLevel = (typeof levels)[number];

/** What the reconciler says while it works; no secret that the process knows passes. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogChoice {
  /** RINGLOCK_LOG_FORMAT when undefined, else text. */
  readonly format: string | undefined;
  /** RINGLOCK_LOG_LEVEL when undefined, else info. */
  readonly level: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * The log that flags and environment ask for.
 *
 * @param base fields of every JSON line
 * @throws RinglockError `invalid-log-level`, `invalid-log-format`
 */
export function openLog(
  stream: { write(text: string): unknown },
  base: LogFields,
  { format, level, environment }: LogChoice,
): Log {
  const known = pick(levels, 'level', level, environment['RINGLOCK_LOG_LEVEL']) ?? 'info';
  const chosen = pick(['text', 'json'], 'format', format, environment['RINGLOCK_LOG_FORMAT']);
  return chosen === 'json'
    ? jsonLog({ write: (text) => stream.write(text) }, base, known)
    : textLog(stream, known);
}

function pick<T extends string>(
  names: readonly T[],
  what: 'level' | 'format',
  flag: string | undefined,
  variable: string | undefined,
): T | undefined {
  const text = flag ?? (variable || undefined);
  if (text === undefined) return undefined;
  const name = names.find((known) => known === text);
  if (name !== undefined) return name;
  const where = flag === undefined ? `RINGLOCK_LOG_${what.toUpperCase()}` : `--log-${what}`;
  throw badInput(
    `invalid-log-${what}`,
    `${where} is ${JSON.stringify(text)}, expected one of ${names.join(', ')}`,
  );
}

/** The same log; every line also has these fields: those of an operation, most often. */
export function logWith(log: Log, fields: LogFields): Log {
  const line =
    (level: LogLevel) =>
    (message: string, more: LogFields = {}) =>
      log[level](message, { ...fields, ...more });
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

/** One JSON document a line, by pino. */
function jsonLog(stream: DestinationStream, base: LogFields, level: LogLevel): Log {
  const logger = pino(
    {
      base: { ...base },
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const line =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}) =>
      logger[name](redactValues(fields), redact(message));
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

/** `time level message field=value …`, for a person. */
export function textLog(stream: { write(text: string): unknown }, level: LogLevel = 'info'): Log {
  const line =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (levels.indexOf(name) < levels.indexOf(level)) return;
      const shown = Object.entries(redactValues(fields))
        .filter(([, value]) => value !== undefined && value !== null)
        .map(([field, value]) => ` ${field}=${show(value)}`);
      stream.write(
        `${new Date().toISOString()} ${name.padEnd(5)} ${redact(message)}${shown.join('')}\n`,
      );
    };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w@.:/+-]+$/.test(text) ? text : JSON.stringify(text);
}
