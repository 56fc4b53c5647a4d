import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { badInput, environmentFailed, type RinglockError } from '../errors.ts';
import { findTransactionControl } from './migration-statements.ts';

export interface SchemaModule {
  readonly alias: string;
  readonly version: string;
  /** Absolute path of the version's directory of migrations; it need not exist. */
  readonly migrations: string;
}

/** What comment lines at the top of a file say: `-- ringlock: no-transaction`. */
export type Directive = 'no-transaction' | 'idempotent' | 'safe-down';

export interface SqlFile {
  /** Absolute. */
  readonly path: string;
  readonly sql: string;
  readonly directives: ReadonlySet<Directive>;
}

export interface MigrationFile {
  /** `0002_add_price_tiers`. */
  readonly name: string;
  readonly number: number;
  /** sha256 of the up file's bytes in hex: line endings count. */
  readonly checksum: string;
  readonly up: SqlFile;
  readonly down: SqlFile | undefined;
}

/** A module's version with its migrations by number. */
export interface ModuleMigrations {
  readonly alias: string;
  readonly version: string;
  readonly directory: string;
  /** Whether the directory exists. */
  readonly exists: boolean;
  readonly migrations: readonly MigrationFile[];
}

/**
 * Reads and checks a version's migrations. Other files than SQL may lie beside them.
 *
 * @throws RinglockError `invalid-migration` naming the file
 */
export async function readMigrations(module: SchemaModule): Promise<ModuleMigrations> {
  const { alias, version, migrations: directory } = module;
  const names = await listDirectory(directory);
  const found = pairFiles(module, names ?? []);
  const migrations: MigrationFile[] = [];
  for (const { name, number, hasDown } of found) {
    const bytes = await readBytes(module, `${name}.up.sql`);
    const up = parseSqlFile(module, `${name}.up.sql`, bytes);
    const down = hasDown
      ? parseSqlFile(module, `${name}.down.sql`, await readBytes(module, `${name}.down.sql`))
      : undefined;
    const checksum = createHash('sha256').update(bytes).digest('hex');
    migrations.push({ name, number, checksum, up, down });
  }
  return { alias, version, directory, exists: names !== undefined, migrations };
}

/** @throws RinglockError `invalid-migration` naming the file */
export async function hasMigrations(modules: readonly SchemaModule[]): Promise<boolean> {
  for (const module of modules) {
    if (pairFiles(module, (await listDirectory(module.migrations)) ?? []).length > 0) return true;
  }
  return false;
}

async function listDirectory(path: string): Promise<string[] | undefined> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    if (hasCode(error, 'ENOTDIR')) {
      throw badInput('invalid-migration', `${path} is not a directory of migrations`);
    }
    throw unreadable(path, error);
  }
}

interface FilePair {
  readonly name: string;
  readonly number: number;
  readonly hasDown: boolean;
}

function pairFiles(module: SchemaModule, names: readonly string[]): FilePair[] {
  const ups = new Map<number, string>();
  const downs: string[] = [];
  for (const file of names) {
    const match = /^(\d{4}_[A-Za-z0-9][A-Za-z0-9_-]*)\.(up|down)\.sql$/.exec(file);
    if (match === null) {
      // A misspelt migration would else be left out without a word.
      if (!/^\d+[_-]|\.sql\b/i.test(file)) continue;
      throw invalid(module, file, 'is not named NNNN_name.up.sql or NNNN_name.down.sql');
    }
    const [, name = '', direction] = match;
    if (direction === 'down') {
      downs.push(name);
      continue;
    }
    const number = Number(name.slice(0, 4));
    const other = ups.get(number);
    if (other !== undefined) {
      throw invalid(
        module,
        file,
        `has the same number as ${other}.up.sql`,
        'Give it the next one.',
      );
    }
    ups.set(number, name);
  }
  const known = new Set(ups.values());
  const lonely = downs.find((name) => !known.has(name));
  if (lonely !== undefined) {
    throw invalid(module, `${lonely}.down.sql`, `stands without ${lonely}.up.sql`);
  }
  return [...ups]
    .sort(([a], [b]) => a - b)
    .map(([number, name]) => ({ name, number, hasDown: downs.includes(name) }));
}

function parseSqlFile(module: SchemaModule, file: string, bytes: Buffer): SqlFile {
  let sql: string;
  try {
    sql = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(module, file, 'is not UTF-8');
  }
  if (sql.includes('\0')) throw invalid(module, file, 'has a NUL byte');
  const directives = parseDirectives(module, file, sql);
  if (!directives.has('no-transaction')) {
    const control = findTransactionControl(sql);
    if (control !== undefined) {
      throw invalid(
        module,
        `${file}:${control.line}`,
        `has ${control.words}, expected no transaction control: each migration is one transaction`,
        'Remove it, or start the file with: -- ringlock: no-transaction',
      );
    }
  }
  return { path: join(module.migrations, file), sql, directives };
}

function parseDirectives(module: SchemaModule, file: string, sql: string): Set<Directive> {
  const allowed: readonly Directive[] = file.endsWith('.down.sql')
    ? ['no-transaction', 'idempotent', 'safe-down']
    : ['no-transaction', 'idempotent'];
  const found = new Set<Directive>();
  let isHead = true;
  for (const [index, line] of sql.split(/\r\n|\r|\n/).entries()) {
    const written = /^\s*--\s*ringlock\s*:(.*)$/i.exec(line)?.[1];
    if (written === undefined) {
      isHead &&= /^\s*(--.*)?$/.test(line);
      continue;
    }
    const place = `${file}:${index + 1}`;
    if (!isHead) throw invalid(module, place, 'has a ringlock line below the first statement');
    for (const word of written.split(/[\s,]+/).filter((text) => text !== '')) {
      const directive = allowed.find((name) => name === word);
      if (directive === undefined) {
        throw invalid(module, place, `says "${word}", expected ${allowed.join(', ')}`);
      }
      found.add(directive);
    }
  }
  return found;
}

async function readBytes(module: SchemaModule, file: string): Promise<Buffer> {
  const path = join(module.migrations, file);
  try {
    return await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function invalid(
  { alias, version, migrations }: SchemaModule,
  place: string,
  what: string,
  hint?: string,
): RinglockError {
  return badInput('invalid-migration', `${alias} ${version}: migration ${place} ${what}`, {
    ...(hint !== undefined && { hint }),
    details: { module: alias, file: join(migrations, place) },
  });
}

function unreadable(path: string, error: unknown): RinglockError {
  const text = error instanceof Error ? error.message : String(error);
  return environmentFailed('migration-unreadable', `${path} cannot be read: ${text}`);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
