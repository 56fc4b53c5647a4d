import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { deploy, release } from '../support/deploy.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { type Arrangement, converged } from './arrangement.ts';
import {
  type ChaosPlatform,
  type ChaosRoot,
  createChaosPlatform,
  createRoot,
  reconcileArguments,
  removeDirectory,
  subjectOf,
} from './chaos-ring.ts';
import { handlerLogPath } from './check-ring.ts';
import { checkRoot, checks, type Subject } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';
import { migratingUpgrade } from './ring-phases.ts';

let platform: ChaosPlatform;
let root: ChaosRoot;
let arrangement: Arrangement;

/** Two generations of a ring, the second with migrations and a handler; checked after each. */
before(async () => {
  platform = await createChaosPlatform('full');
  root = await createRoot(platform, 'root', 'symlink');
  for (const upgrade of [plainUpgrade, migratingUpgrade]) {
    arrangement = await upgrade(platform);
    const { root: path } = root;
    const args = reconcileArguments(platform, root, '--once');
    const { code, stderr, group } = await runFaulty({ cwd: path, root: path, args });
    await waitForGroups([group]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await failingChecks(), []);
    root.shown = arrangement.expected.lock;
  }
});
after(async () => {
  await platform.close();
  await root.close();
  removeDirectory(platform.directory);
  await stopOwnPostgres();
});

async function plainUpgrade(on: ChaosPlatform): Promise<Arrangement> {
  release(on.platform, 'Orders', '1.0.1');
  return { expected: converged(deploy(on.platform, 'Orders 1.0.1')) };
}

async function failingChecks(told: Partial<Subject> = {}): Promise<string[]> {
  const subject = { ...subjectOf(platform, root, arrangement), ...told };
  const { violations } = await checkRoot(subject, 'settled');
  return [...new Set(violations.map(({ check }) => check))];
}

/** What is done to a good root, and the check that has to see it. */
interface Wrong {
  readonly what: string;
  readonly check: string;
  readonly spoil: (path: string) => void | Promise<void>;
}

const inRoot: readonly Wrong[] = [
  { what: 'no current', check: 'current stays', spoil: (path) => rmSync(join(path, 'current')) },
  {
    what: 'half a module',
    check: 'complete generation',
    spoil: (path) => rmSync(join(path, 'current/Orders/CHANGELOG.md')),
  },
  {
    what: 'a module of another generation',
    check: 'complete generation',
    spoil: (path) => {
      rmSync(join(path, 'current/Orders'));
      symlinkSync(
        readlinkSync(join(path, 'generations/000001/Orders')),
        join(path, 'current/Orders'),
      );
    },
  },
  {
    what: 'a module that no lock knows',
    check: 'nothing foreign visible',
    spoil: (path) => mkdirSync(join(path, 'current/Another')),
  },
  {
    what: 'a lock that was never committed',
    check: 'a committed lock',
    spoil: (path) => {
      const lock = join(path, 'current/.ringlock/lock.json');
      writeFileSync(lock, readFileSync(lock, 'utf8').replace('"version": "1.', '"version": "2.'));
    },
  },
  {
    what: 'an event twice',
    check: 'audit chain',
    spoil: (path) => {
      const journal = join(path, 'audit/journal-000001.jsonl');
      const last = readFileSync(journal, 'utf8').trim().split('\n').at(-1);
      appendFileSync(journal, `${last}\n`);
    },
  },
  {
    what: 'an event twice, chained',
    check: 'one event a change',
    spoil: appendEventAgain,
  },
  {
    what: 'a change without its events',
    check: 'audited before acknowledged',
    spoil: (path) => {
      const journal = join(path, 'audit/journal-000001.jsonl');
      const lines = readFileSync(journal, 'utf8').split('\n').slice(0, -3);
      writeFileSync(journal, `${lines.join('\n')}\n`);
    },
  },
  {
    what: 'an audit.sqlite that lags',
    check: 'audit.sqlite',
    spoil: (path) => rmSync(join(path, 'audit/audit.sqlite')),
  },
  {
    what: 'a status of another generation',
    check: 'status.json converged',
    spoil: (path) => {
      const status = join(path, 'status.json');
      writeFileSync(
        status,
        readFileSync(status, 'utf8').replace('"generation": 2', '"generation": 1'),
      );
    },
  },
  {
    what: 'a kept generation that leads nowhere',
    check: 'kept generations whole',
    spoil: (path) => rmSync(join(path, 'generations/000001/Orders')),
  },
  {
    what: 'a file in staging',
    check: 'nothing left over',
    spoil: (path) => writeFileSync(join(path, 'staging/rest'), ''),
  },
  {
    what: 'a temporary file',
    check: 'nothing left over',
    spoil: (path) => writeFileSync(join(path, '.status.json.0123456789ab.tmp'), ''),
  },
  {
    what: 'half a pack',
    check: 'object database',
    spoil: (path) => {
      const packs = join(path, 'repo.git/objects/pack');
      const name = readdirSync(packs).find((name) => name.endsWith('.idx')) ?? '';
      rmSync(join(packs, name));
    },
  },
];

/** As a recovery would that appends without asking: a whole chain, each event valid by itself. */
function appendEventAgain(path: string): void {
  const journal = join(path, 'audit/journal-000001.jsonl');
  const { hash, ...event } = JSON.parse(
    readFileSync(journal, 'utf8').trim().split('\n').at(-1) ?? '',
  );
  const again = { ...event, sequence: event.sequence + 1, previous: hash };
  const sorted = (value: object): object =>
    Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  const write = (value: Record<string, unknown>) =>
    JSON.stringify(
      sorted({
        ...value,
        actor: sorted(event.actor),
        detail: sorted(event.detail),
      }),
    );
  const own = createHash('sha256').update(write(again)).digest('hex');
  appendFileSync(journal, `${write({ ...again, hash: own })}\n`);
}

interface WrongRows {
  readonly what: string;
  readonly check: string;
  readonly sql: string;
}

const inDatabase: readonly WrongRows[] = [
  {
    what: 'a lost event',
    check: 'events in Postgres',
    sql: `delete from audit_events where action = 'upgrade'`,
  },
  {
    what: 'a changed event',
    check: 'events in Postgres',
    sql: `update audit_events set hash = repeat('0', 64) where action = 'upgrade'`,
  },
  {
    what: 'an event of nobody',
    check: 'events in Postgres',
    sql: `insert into audit_events select gen_random_uuid(), root, sequence + 100, occurred_at, ring,
       replica, actor, commit, operation_id, action, module, from_version, to_version, digest, outcome,
       detail, previous, hash from audit_events limit 1`,
  },
  { what: 'a lost operation', check: 'operations in Postgres', sql: 'delete from operations' },
  {
    what: 'no active version',
    check: 'active versions',
    sql: 'update module_versions set is_active = false',
  },
  {
    what: 'a replica that lags',
    check: 'status in Postgres',
    sql: `update reconciler_status set state = 'failed'`,
  },
  {
    what: 'a step that nobody went on with',
    check: 'steps of the ring',
    sql: `update ring_steps set state = 'started' where key = 'migrate'`,
  },
  {
    what: 'a step that succeeded twice',
    check: 'steps of the ring',
    sql: `insert into ring_steps (operation_id, key, attempt, state, replica, idempotent)
       select operation_id, key, attempt + 1, state, replica, idempotent from ring_steps`,
  },
  {
    what: 'an operation that nobody ended',
    check: 'operations of the ring',
    sql: 'update ring_operations set finished_at = null',
  },
];

/** In the application's database. */
const inSchema: readonly WrongRows[] = [
  {
    what: 'a migration that ran twice',
    check: 'schema once',
    sql: `insert into runs (name, way) select name, way from runs limit 1`,
  },
  {
    what: 'a migration without its row',
    check: 'schema once',
    sql: `delete from module_migrations where name like '%safe'`,
  },
  {
    what: 'a row without its migration',
    check: 'schema once',
    sql: `delete from runs where name like '%safe'`,
  },
  {
    what: 'a migration that the ring does not know it needs',
    check: 'schema follows',
    sql: `update module_migrations set rings = '{}'`,
  },
  {
    what: 'a migration that was cut off',
    check: 'schema follows',
    sql: `update module_migrations set state = 'interrupted'`,
  },
];

/** What the checker is told, and the root does not bear out. */
const inWords: readonly { what: string; check: string; told: Partial<Subject> }[] = [
  {
    what: 'more kept than gc was told to keep',
    check: 'retention',
    told: { keepsOne: true },
  },
  {
    what: 'a wish that nobody tells of',
    check: 'one event an act',
    told: { asked: ['hold orders 1.0.0'] },
  },
  {
    what: 'a handler that never ran',
    check: 'handlers once',
    told: { handled: 'onDowngrade 1.0.1' },
  },
  {
    what: 'an application that was not told',
    check: 'application follows',
    told: { loaded: () => '1.0.1' },
  },
];

const ringTables = [
  ...['audit_events', 'operations', 'module_versions', 'reconciler_status'],
  ...['ring_operations', 'ring_steps'],
];
const schemaTables = ['module_migrations', 'runs'];

describe('the checker, which imports nothing of what it checks', () => {
  for (const { what, check, spoil } of inRoot) {
    it(`sees ${what}`, async () => {
      const saved = `${root.root}-saved`;
      cpSync(root.root, saved, { recursive: true, verbatimSymlinks: true });
      try {
        await spoil(root.root);
        const failing = await failingChecks();
        assert.ok(failing.includes(check), `failing: ${failing}`);
      } finally {
        removeDirectory(root.root);
        cpSync(saved, root.root, { recursive: true, verbatimSymlinks: true });
        removeDirectory(saved);
      }
    });
  }

  for (const { what, check, told } of inWords) {
    it(`sees ${what}`, async () => {
      const failing = await failingChecks(told);
      assert.ok(failing.includes(check), `failing: ${failing}`);
    });
  }

  it('sees a handler that ran once more than it was begun', async () => {
    const log = handlerLogPath(root.root);
    const before = readFileSync(log, 'utf8');
    writeFileSync(log, before + before);
    const failing = await failingChecks();
    writeFileSync(log, before);
    assert.ok(failing.includes('handlers once'), `failing: ${failing}`);
  });

  for (const [wrongs, urlOf, tables] of [
    [inDatabase, () => root.databaseUrl, ringTables],
    [inSchema, () => root.migrationsUrl, schemaTables],
  ] as const) {
    for (const { what, check, sql } of wrongs) {
      it(`sees ${what} in Postgres`, async () => {
        const client = new pg.Client({ connectionString: urlOf() });
        await client.connect();
        const failing = await spoilDatabase(client, tables, sql);
        await client.end();
        assert.ok(failing.includes(check), `failing: ${failing}`);
      });
    }
  }

  it('sees nothing once all of that is undone', async () => {
    assert.deepEqual(await failingChecks(), []);
  });

  it('has a test here for each of its checks', () => {
    const seen = [...inRoot, ...inDatabase, ...inSchema, ...inWords].map(({ check }) => check);
    const unseen = checks.map(({ name }) => name).filter((name) => !seen.includes(name));
    assert.deepEqual(unseen, []);
  });
});

async function spoilDatabase(
  client: pg.Client,
  tables: readonly string[],
  sql: string,
): Promise<string[]> {
  for (const table of tables) await client.query(`create table saved_${table} as table ${table}`);
  try {
    await client.query(sql);
    return await failingChecks();
  } finally {
    for (const table of tables) {
      await client.query(`delete from ${table}`);
      const { rows } = await client.query<{ names: string }>(
        `select string_agg(quote_ident(attname), ', ') as names from pg_attribute
         where attrelid = $1::regclass and attnum > 0`,
        [table],
      );
      const names = rows[0]?.names;
      await client.query(
        `insert into ${table} (${names}) overriding system value select ${names} from saved_${table}`,
      );
      await client.query(`drop table saved_${table}`);
    }
  }
}
