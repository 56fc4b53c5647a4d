import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type {
  Directive,
  MigrationFile,
  ModuleMigrations,
} from '../../src/lifecycle/migration-files.ts';
import {
  type MigrationRow,
  migrationKey,
  planDown,
  planUndo,
  planUp,
} from '../../src/lifecycle/schema-plan.ts';

const aliases = ['products', 'orders', 'shop'];
const rings = ['canary', 'edge', 'stable'];
const pad = (number: number) => `${String(number).padStart(4, '0')}_step`;

function file(number: number, down: Directive[] | undefined, up: Directive[]): MigrationFile {
  const sql = (name: string, directives: Directive[]) => ({
    path: `/${name}`,
    sql: '',
    directives: new Set(directives),
  });
  return {
    name: pad(number),
    number,
    checksum: 'same',
    up: sql(`${pad(number)}.up.sql`, up),
    down: down && sql(`${pad(number)}.down.sql`, down),
  };
}

const directives = (of: Directive[]) => fc.subarray(of);
const migrations = fc
  .uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 6 })
  .chain((numbers) =>
    fc.tuple(
      ...numbers.map((number) =>
        fc
          .tuple(
            fc.option(directives(['safe-down', 'idempotent']), { nil: undefined }),
            directives(['idempotent']),
          )
          .map(([down, up]) => file(number, down, up)),
      ),
    ),
  );
const modules: fc.Arbitrary<ModuleMigrations[]> = fc
  .tuple(fc.subarray(aliases), fc.array(migrations, { minLength: 3, maxLength: 3 }))
  .map(([chosen, lists]) =>
    chosen.map((alias, index) => ({
      alias,
      version: '1.0.0',
      directory: `/${alias}`,
      exists: true,
      migrations: lists[index] ?? [],
    })),
  );
const row = fc
  .record({
    alias: fc.constantFrom(...aliases),
    name: fc.integer({ min: 1, max: 6 }).map(pad),
    checksum: fc.constantFrom('same', 'same', 'same', 'other'),
    rings: fc.subarray(rings),
    state: fc.constantFrom('applied', 'applied', 'applied', 'interrupted', 'revert-interrupted'),
    operationId: fc.constantFrom('now', 'before'),
    joinedBy: fc.constantFrom('now', 'before'),
  })
  .map(
    ({ joinedBy, ...rest }): MigrationRow => ({
      ...rest,
      version: '1.0.0',
      joined: Object.fromEntries(rest.rings.map((ring) => [ring, joinedBy])),
      aheadSince: rest.rings.length === 0 ? '2026-01-01T00:00:00.000Z' : null,
      aheadReason: null,
    }),
  );
const rows = fc.uniqueArray(row, { selector: migrationKey, maxLength: 12 });
const key = (step: { alias: string; migration: MigrationFile }) =>
  migrationKey({ alias: step.alias, name: step.migration.name });

describe('the plan of the way up', () => {
  it('has every migration of the target in one place, or has nothing to do for it', () => {
    fc.assert(
      fc.property(modules, rows, (target, known) => {
        const plan = planUp(target, known, 'stable');
        const all = [...plan.run, ...plan.join, ...plan.edited, ...plan.interrupted].map(key);
        assert.equal(new Set(all).size, all.length);
        for (const { alias, migrations: files } of target) {
          for (const migration of files) {
            const name = key({ alias, migration });
            const found = known.find((r) => migrationKey(r) === name);
            const isDone =
              found?.state === 'applied' &&
              found.checksum === 'same' &&
              found.rings.includes('stable');
            assert.equal(all.includes(name), !isDone, name);
          }
        }
      }),
    );
  });

  it('never runs what is applied, nor what was interrupted and may not run again', () => {
    fc.assert(
      fc.property(modules, rows, (target, known) => {
        for (const step of planUp(target, known, 'stable').run) {
          const found = known.find((r) => migrationKey(r) === key(step));
          if (found === undefined) continue;
          assert.equal(found.state, 'interrupted');
          assert.ok(step.migration.up.directives.has('idempotent'));
        }
      }),
    );
  });

  it('keeps the order of the modules, and of the numbers in each', () => {
    fc.assert(
      fc.property(modules, rows, (target, known) => {
        const order = target.map(({ alias }) => alias);
        const run = planUp(target, known, 'stable').run;
        const places = run.map((s) => order.indexOf(s.alias) * 1000 + s.migration.number);
        assert.deepEqual(
          places,
          [...places].sort((a, b) => a - b),
        );
      }),
    );
  });
});

describe('the plan of the way down', () => {
  const mode = fc.constantFrom('safe' as const, 'all' as const);

  it('runs only what no other ring needs, that the target lacks, whose text is the applied one', () => {
    fc.assert(
      fc.property(modules, modules, rows, mode, (target, previous, known, how) => {
        const plan = planDown(target, previous, known, 'stable', how);
        for (const step of plan.run) {
          const found = known.find((r) => migrationKey(r) === migrationKey(step));
          assert.deepEqual(
            found?.rings.filter((ring) => ring !== 'stable'),
            [],
          );
          assert.equal(found?.checksum, 'same');
          assert.ok(how === 'all' || step.down.directives.has('safe-down'));
          const kept = target.find(({ alias }) => alias === step.alias)?.migrations ?? [];
          assert.ok(!kept.some(({ name }) => name === step.name));
        }
      }),
    );
  });

  it('puts every row that this ring leaves in one place', () => {
    fc.assert(
      fc.property(modules, modules, rows, mode, (target, previous, known, how) => {
        const plan = planDown(target, previous, known, 'stable', how);
        const all = [
          ...plan.run.map(migrationKey),
          ...plan.ahead.map((a) => migrationKey(a.row)),
          ...plan.neededElsewhere.map((n) => migrationKey(n.row)),
        ];
        assert.equal(new Set(all).size, all.length);
        for (const found of known.filter((r) => r.rings.includes('stable'))) {
          const isLeft =
            previous.some(({ alias }) => alias === found.alias) &&
            !target
              .find(({ alias }) => alias === found.alias)
              ?.migrations.some(({ name }) => name === found.name);
          assert.equal(all.includes(migrationKey(found)), isLeft);
        }
      }),
    );
  });

  it('goes dependents first as given, down the numbers, and never below a step that stays', () => {
    fc.assert(
      fc.property(modules, modules, rows, mode, (target, previous, known, how) => {
        const plan = planDown(target, previous, known, 'stable', how);
        const order = previous.map(({ alias }) => alias);
        const places = plan.run.map(
          (step) => order.indexOf(step.alias) * 1000 - Number(step.name.slice(0, 4)),
        );
        assert.deepEqual(
          places,
          [...places].sort((a, b) => a - b),
        );
        for (const step of plan.run) {
          const above = [...plan.ahead, ...plan.neededElsewhere].filter(
            ({ row: { alias, name } }) => alias === step.alias && name > step.name,
          );
          assert.deepEqual(above, []);
        }
      }),
    );
  });

  it('takes back what an operation applied, and nothing of others', () => {
    fc.assert(
      fc.property(modules, rows, (target, known) => {
        const plan = planUndo(target, known, 'stable', 'now', 'all');
        const touched = [
          ...plan.run,
          ...plan.ahead.map((a) => a.row),
          ...plan.neededElsewhere.map((n) => n.row),
        ].map(migrationKey);
        const mine = known.filter((r) => r.joined['stable'] === 'now');
        assert.deepEqual(
          touched.sort(),
          mine
            .filter((r) => r.operationId === 'now')
            .map(migrationKey)
            .sort(),
        );
        assert.deepEqual(
          plan.leave,
          mine.filter((r) => r.operationId !== 'now'),
        );
      }),
    );
  });
});
