import semver from 'semver';
import type { MigrationFile, ModuleMigrations, SqlFile } from './migration-files.ts';

/** A row of module_migrations. */
export interface MigrationRow {
  readonly alias: string;
  readonly name: string;
  readonly checksum: string;
  /** The version that applied it. */
  readonly version: string;
  /** The rings that need it. */
  readonly rings: readonly string[];
  /** `applied`, `running`, `reverting`, `interrupted`, `revert-interrupted`; a newer ringlock may know more. */
  readonly state: string;
  readonly operationId: string;
  /** Ring → the operation that made the ring need it. */
  readonly joined: Readonly<Record<string, string>>;
  readonly aheadSince: string | null;
  readonly aheadReason: string | null;
}

export interface UpStep {
  readonly alias: string;
  readonly version: string;
  readonly migration: MigrationFile;
}

export interface UpPlan {
  /** To run, in order. */
  readonly run: readonly UpStep[];
  /** Applied already; only this ring has to be noted. */
  readonly join: readonly UpStep[];
  /** Applied with another text. */
  readonly edited: readonly (UpStep & { readonly row: MigrationRow })[];
  /** Half done once and not to be run again by itself. */
  readonly interrupted: readonly (UpStep & { readonly row: MigrationRow })[];
}

/** What brings the schema to `target`, whose modules are given dependencies first. */
export function planUp(
  target: readonly ModuleMigrations[],
  rows: readonly MigrationRow[],
  ring: string,
): UpPlan {
  const known = new Map(rows.map((row) => [migrationKey(row), row]));
  const plan = {
    run: [] as UpStep[],
    join: [] as UpStep[],
    edited: [] as (UpStep & { row: MigrationRow })[],
    interrupted: [] as (UpStep & { row: MigrationRow })[],
  };
  for (const { alias, version, migrations } of target) {
    for (const migration of byNumber(migrations)) {
      const step = { alias, version, migration };
      const row = known.get(migrationKey({ alias, name: migration.name }));
      if (row === undefined || row.state === 'running') plan.run.push(step);
      else if (row.state === 'interrupted' && migration.up.directives.has('idempotent')) {
        // Its text may have changed: mending the file is how an interruption is resolved.
        plan.run.push(step);
      } else if (row.state !== 'applied') plan.interrupted.push({ ...step, row });
      else if (row.checksum !== migration.checksum) plan.edited.push({ ...step, row });
      else if (!row.rings.includes(ring) || row.aheadSince !== null) plan.join.push(step);
    }
  }
  return plan;
}

export interface DownStep {
  readonly alias: string;
  /** The version whose down file is run. */
  readonly version: string;
  readonly name: string;
  readonly down: SqlFile;
}

export interface DownPlan {
  /** To run, in order. */
  readonly run: readonly DownStep[];
  /** Leaves this ring and stays in the database. */
  readonly ahead: readonly { readonly row: MigrationRow; readonly reason: string }[];
  /** Leaves this ring; others need it. */
  readonly neededElsewhere: readonly {
    readonly row: MigrationRow;
    readonly rings: readonly string[];
  }[];
}

/**
 * What leaving `previous` for `target` takes. `previous` has the modules that are rolled back or
 * removed, dependents first.
 *
 * @param mode `safe`: only steps whose down file says safe-down; `all`: a person asked for every one
 */
export function planDown(
  target: readonly ModuleMigrations[],
  previous: readonly ModuleMigrations[],
  rows: readonly MigrationRow[],
  ring: string,
  mode: 'safe' | 'all',
): DownPlan {
  const plan = {
    run: [] as DownStep[],
    ahead: [] as { row: MigrationRow; reason: string }[],
    neededElsewhere: [] as { row: MigrationRow; rings: string[] }[],
  };
  for (const module of previous) {
    const next = target.find(({ alias }) => alias === module.alias);
    // A newer version may have dropped files whose tables it goes on using.
    if (next !== undefined && semver.gt(next.version, module.version)) continue;
    const wanted = new Set(next?.migrations.map(({ name }) => name));
    const leaving = rows
      .filter((row) => row.alias === module.alias && !wanted.has(row.name))
      .sort((a, b) => (a.name < b.name ? 1 : -1));
    // A step that stays may stand on the earlier ones: those stay with it.
    let stays: string | undefined;
    for (const row of leaving) {
      const file = module.migrations.find(({ name }) => name === row.name);
      const others = row.rings.filter((name) => name !== ring);
      if (others.length > 0) {
        stays = row.name;
        const isOurs = row.rings.includes(ring) || file !== undefined;
        if (isOurs) plan.neededElsewhere.push({ row, rings: others });
        continue;
      }
      const reason = reasonToStay(module, row, file, mode, stays);
      if (reason === undefined && file?.down !== undefined) {
        const { alias, version } = module;
        plan.run.push({ alias, version, name: row.name, down: file.down });
      } else {
        stays = row.name;
        plan.ahead.push({ row, reason: reason ?? '' });
      }
    }
  }
  return plan;
}

function reasonToStay(
  module: ModuleMigrations,
  row: MigrationRow,
  file: MigrationFile | undefined,
  mode: 'safe' | 'all',
  stays: string | undefined,
): string | undefined {
  const { alias, version, directory, exists } = module;
  if (!exists) return `${directory} of ${alias} ${version} is not there`;
  if (file === undefined) return `${alias} ${version} does not contain it`;
  if (file.down === undefined) return `${alias} ${version} has no ${row.name}.down.sql`;
  if (file.checksum !== row.checksum) {
    return `${row.name}.up.sql of ${alias} ${version} is not what was applied`;
  }
  const mayRunAgain = row.state === 'revert-interrupted' && file.down.directives.has('idempotent');
  if (row.state !== 'applied' && row.state !== 'reverting' && !mayRunAgain) {
    return `it was interrupted (state ${row.state})`;
  }
  if (stays !== undefined) return `${stays}, which came after it, stays`;
  if (mode === 'safe' && !file.down.directives.has('safe-down')) {
    return `${row.name}.down.sql is not marked safe-down`;
  }
  return undefined;
}

export interface UndoPlan extends DownPlan {
  /** Applied by others before; only this ring is taken from them again. */
  readonly leave: readonly MigrationRow[];
}

/** What takes an operation's way up to `target` back: `target` as it was given on the way up. */
export function planUndo(
  target: readonly ModuleMigrations[],
  rows: readonly MigrationRow[],
  ring: string,
  operationId: string,
  mode: 'safe' | 'all',
): UndoPlan {
  const mine = rows.filter((row) => row.joined[ring] === operationId);
  const applied = mine.filter((row) => row.operationId === operationId);
  const known = new Set(target.map(({ alias }) => alias));
  const unknown = [...new Set(applied.map(({ alias }) => alias))].filter((a) => !known.has(a));
  const modules = [
    ...target,
    ...unknown.map((alias) => ({
      alias,
      version: applied.find((row) => row.alias === alias)?.version ?? '',
      directory: 'the directory of migrations',
      exists: false,
      migrations: [],
    })),
  ].reverse();
  return {
    ...planDown([], modules, applied, ring, mode),
    leave: mine.filter((row) => row.operationId !== operationId),
  };
}

/** One text for (module, name). */
export function migrationKey({ alias, name }: { alias: string; name: string }): string {
  return `${alias}/${name}`;
}

function byNumber(migrations: readonly MigrationFile[]): MigrationFile[] {
  return [...migrations].sort((a, b) => a.number - b.number);
}
