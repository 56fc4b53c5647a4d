import { redact, redactValues } from './redaction.ts';
import { visibleText } from './visible-text.ts';

/**
 * How a command ends: 0 done, 1 a check failed or a change was refused, 2 bad usage or input,
 * 3 the environment failed (network, registry, database, disk).
 */
export type ExitCode = 0 | 1 | 2 | 3;

export interface RinglockErrorOptions {
  /** What to do next, as a sentence or a command; printed below the message. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable particulars, printed by `--json`. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * The one error class of ringlock: everything a caller can act on carries a stable `code`.
 * Messages name the file, the value found and the value expected; no secret stays in one.
 */
export class RinglockError extends Error {
  override readonly name = 'RinglockError';
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(
    code: string,
    exitCode: ExitCode,
    message: string,
    options: RinglockErrorOptions = {},
  ) {
    super(
      printable(redact(message)),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.exitCode = exitCode;
    this.hint = options.hint === undefined ? undefined : printable(redact(options.hint));
    this.details = redactValues(options.details);
  }
}

const longestMessage = 8192;
/** Control characters but newline and tab, and what turns the direction of writing. */

/** Messages quote what a repository or a server says: none of it may steer a terminal, or fill a log. */
function printable(text: string): string {
  return visibleText(text.length > longestMessage ? `${text.slice(0, longestMessage)}…` : text);
}

/** A check failed or a change was refused (exit 1). */
export function refused(
  code: string,
  message: string,
  options?: RinglockErrorOptions,
): RinglockError {
  return new RinglockError(code, 1, message, options);
}

/** Bad usage or input (exit 2). */
export function badInput(
  code: string,
  message: string,
  options?: RinglockErrorOptions,
): RinglockError {
  return new RinglockError(code, 2, message, options);
}

/** The environment failed: network, registry, database, disk (exit 3). */
export function environmentFailed(
  code: string,
  message: string,
  options?: RinglockErrorOptions,
): RinglockError {
  return new RinglockError(code, 3, message, options);
}
