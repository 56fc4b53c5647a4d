import { refused } from '../errors.ts';
import type { SchemaSession } from './schema-session.ts';

/** @throws RinglockError `migration-not-interrupted` */
export async function resolveInterrupted(
  { client, table }: SchemaSession,
  alias: string,
  name: string,
  is: 'applied' | 'not-applied',
): Promise<void> {
  const where = `where module = $1 and name = $2 and state in ('interrupted', 'revert-interrupted')`;
  const { rowCount } = await client.query(
    is === 'applied'
      ? `update ${table} set state = 'applied' ${where}`
      : `delete from ${table} ${where}`,
    [alias, name],
  );
  if (rowCount === 1) return;
  const { rows } = await client.query<{ state: string }>(
    `select state from ${table} where module = $1 and name = $2`,
    [alias, name],
  );
  const state = rows[0] === undefined ? 'is not known' : `has the state ${rows[0].state}`;
  throw refused(
    'migration-not-interrupted',
    `migration ${name} of ${alias} ${state} in this database, expected an interrupted one`,
  );
}
