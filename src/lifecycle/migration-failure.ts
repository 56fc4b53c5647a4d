import { RinglockError, refused } from '../errors.ts';
import type { SqlFile } from './migration-files.ts';
import { lineAt, type SqlStatement } from './migration-statements.ts';

export interface FailedAt {
  readonly alias: string;
  readonly version: string;
  readonly name: string;
  readonly file: SqlFile;
  /** The statement that was sent, where it was not the whole file. */
  readonly statement: SqlStatement | undefined;
}

/**
 * Postgres's refusal of a migration as `migration-failed`; undefined when it was no refusal: the
 * connection went away.
 */
export function migrationFailed(error: unknown, at: FailedAt): RinglockError | undefined {
  const state = sqlStateOf(error);
  if (error instanceof RinglockError) return error;
  if (!(error instanceof Error) || state === undefined || /^(08|57P)/.test(state)) return undefined;
  const line = lineOf(error, at);
  const file = at.file.path.slice(at.file.path.lastIndexOf('/') + 1);
  const place = line === undefined ? file : `${file}:${line}`;
  const hint = hintOf(state);
  // No cause: the driver's error holds values of rows.
  return refused(
    'migration-failed',
    `${at.alias} ${at.version}: migration ${place}: ${error.message} (SQLSTATE ${state})`,
    {
      ...(hint !== undefined && { hint }),
      details: {
        module: at.alias,
        version: at.version,
        name: at.name,
        file: at.file.path,
        line: line ?? null,
        sqlstate: state,
      },
    },
  );
}

/** Five characters; PostgreSQL manual, appendix A. */
function sqlStateOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

function lineOf(error: Error, { file, statement }: FailedAt): number | undefined {
  const position = 'position' in error ? Number(error.position) : Number.NaN;
  if (!Number.isInteger(position) || position < 1) {
    return statement && lineAt(file.sql, statement.offset);
  }
  // Postgres counts characters, a string UTF-16 units.
  const sent = statement?.text ?? file.sql;
  const units = [...sent].slice(0, position - 1).join('').length;
  return lineAt(file.sql, (statement?.offset ?? 0) + units);
}

function hintOf(state: string): string | undefined {
  switch (state) {
    case '55P03':
      return 'Another session holds a lock that it needs: pg_blocking_pids() tells which. It can be tried again.';
    case '57014':
      return 'It took longer than the statement timeout, or was cancelled. Raise the timeout, or do it in smaller steps.';
    case '25001':
      return 'Start the file with: -- ringlock: no-transaction';
    case '42501':
      return 'The user of the database URL lacks a right that this migration needs.';
    default:
      return undefined;
  }
}
