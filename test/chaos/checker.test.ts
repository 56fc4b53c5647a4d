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
import {
  type ChaosPlatform,
  type ChaosRoot,
  createChaosPlatform,
  createRoot,
  reconcileArguments,
  removeRoot,
  subjectOf,
} from './chaos-ring.ts';
import { checkRoot, checks } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';

let platform: ChaosPlatform;
let root: ChaosRoot;
let commit: string;

/** Two generations of a ring, checked after each. */
before(async () => {
  platform = await createChaosPlatform();
  root = await createRoot(platform, 'root', 'symlink');
  for (const version of ['1.0.1', '1.0.2']) {
    release(platform.platform, 'Orders', version);
    root.commit = commit;
    commit = deploy(platform.platform, `Orders ${version}`);
    const { root: path, databaseUrl } = root;
    const args = reconcileArguments(platform, root, '--once', '--database-url', databaseUrl);
    const { code, stderr, group } = await runFaulty({ cwd: path, root: path, args });
    await waitForGroups([group]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await failingChecks(), []);
  }
});
after(async () => {
  await platform.close();
  removeRoot({ root: platform.directory });
  await stopOwnPostgres();
});

async function failingChecks(): Promise<string[]> {
  const { violations } = await checkRoot(subjectOf(platform, root, commit), 'settled');
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
      writeFileSync(lock, readFileSync(lock, 'utf8').replace('"1.0.2"', '"1.0.3"'));
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

const inDatabase: readonly (readonly [what: string, check: string, sql: string])[] = [
  ['a lost event', 'events in Postgres', `delete from audit_events where action = 'upgrade'`],
  [
    'a changed event',
    'events in Postgres',
    `update audit_events set hash = repeat('0', 64) where action = 'upgrade'`,
  ],
  [
    'an event of nobody',
    'events in Postgres',
    `insert into audit_events select gen_random_uuid(), root, sequence + 100, occurred_at, ring, replica,
       actor, commit, operation_id, action, module, from_version, to_version, digest, outcome, detail,
       previous, hash from audit_events limit 1`,
  ],
  ['a lost operation', 'operations in Postgres', 'delete from operations'],
  ['no active version', 'active versions', 'update module_versions set is_active = false'],
  ['a replica that lags', 'status in Postgres', `update reconciler_status set state = 'failed'`],
];

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
        removeRoot(root);
        cpSync(saved, root.root, { recursive: true, verbatimSymlinks: true });
        removeRoot({ root: saved });
      }
    });
  }

  it('sees more kept than gc was told to keep', async () => {
    const subject = { ...subjectOf(platform, root, commit), keepsOne: true };
    const { violations } = await checkRoot(subject, 'settled');
    assert.ok(violations.some(({ check }) => check === 'retention'));
  });

  for (const [what, check, sql] of inDatabase) {
    it(`sees ${what} in Postgres`, async () => {
      const client = new pg.Client({ connectionString: root.databaseUrl });
      await client.connect();
      const failing = await spoilDatabase(client, sql);
      await client.end();
      assert.ok(failing.includes(check), `failing: ${failing}`);
    });
  }

  it('sees nothing once all of that is undone', async () => {
    assert.deepEqual(await failingChecks(), []);
  });

  it('has a test here for each of its checks', () => {
    const seen = [...inRoot.map(({ check }) => check), ...inDatabase.map(([, check]) => check)];
    const unseen = checks.map(({ name }) => name).filter((name) => !seen.includes(name));
    assert.deepEqual(unseen, ['retention']);
  });
});

async function spoilDatabase(client: pg.Client, sql: string): Promise<string[]> {
  const tables = ['audit_events', 'operations', 'module_versions', 'reconciler_status'];
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
