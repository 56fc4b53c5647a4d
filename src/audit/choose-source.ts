import { resolve } from 'node:path';
import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import type { AuditSource } from './queries.ts';

/**
 * Where a command reads from: `--root`, else `--database-url`, else DATABASE_URL or its _FILE.
 *
 * @param directory what a relative root is relative to
 * @throws RinglockError `no-audit-source`
 */
export async function chooseAuditSource(
  root: string | undefined,
  databaseUrl: string | undefined,
  directory: string,
): Promise<AuditSource> {
  if (root !== undefined && databaseUrl !== undefined) {
    throw badInput('two-audit-sources', 'both --root and --database-url are given, expected one');
  }
  if (root !== undefined) return { root: resolve(directory, root) };
  const url = databaseUrl ?? (await readSecret('DATABASE_URL'));
  if (url !== undefined) return { databaseUrl: url };
  throw badInput('no-audit-source', 'neither a root nor a database is given to read from', {
    hint: 'Give --root DIR for one pod, or --database-url URL (or DATABASE_URL, DATABASE_URL_FILE) for all rings.',
  });
}
