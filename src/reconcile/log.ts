import { type DestinationStream, pino } from 'pino';

export type LogFields = Readonly<Record<string, unknown>>;

/** What the reconciler says while it works. Credentials are kept out by whoever writes a field. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** One JSON document a line, by pino. */
export function jsonLog(stream: DestinationStream, base: LogFields): Log {
  const logger = pino(
    { base: { ...base }, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
    stream,
  );
  return {
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}

/** `time level message field=value …`, for a person. */
export function textLog(stream: { write(text: string): unknown }, now = () => new Date()): Log {
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      const shown = Object.entries(fields)
        .filter(([, value]) => value !== undefined && value !== null)
        .map(([name, value]) => ` ${name}=${show(value)}`);
      stream.write(`${now().toISOString()} ${level} ${message}${shown.join('')}\n`);
    };
  return { info: line('info '), warn: line('warn '), error: line('error') };
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w@.:/+-]+$/.test(text) ? text : JSON.stringify(text);
}
