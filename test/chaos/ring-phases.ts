import { deploy, push, release } from '../support/deploy.ts';
import { fileRequest } from '../support/file-request.ts';
import type { Platform } from '../support/platform.ts';
import { freePort } from '../support/postgres.ts';
import {
  type Arrangement,
  converged,
  head,
  nextVersion,
  passUnharmed,
  standingOf,
} from './arrangement.ts';
import { type ChaosPlatform, type ChaosRoot, reconcileArguments } from './chaos-ring.ts';
import type { Standing } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';
import type { Random } from './random.ts';

/** What an Orders with migrations and handlers brings, deployed. */
interface Deployed {
  readonly commit: string;
  readonly version: string;
}

let migrations = 0;

/** A version of Orders with two more migrations, of which one may go down, and a handler. */
function deployMigrating(platform: Platform): Deployed {
  const version = nextVersion();
  release(platform, 'Orders', version);
  const file = 'modules/Orders/module.json';
  const handler = { run: 'lifecycle/handle.mjs', idempotent: true };
  const manifest = {
    ...JSON.parse(platform.read(file)),
    lifecycle: { onUpgrade: handler, onDowngrade: handler },
  };
  platform.write({
    [file]: `${JSON.stringify(manifest, null, 2)}\n`,
    'modules/Orders/lifecycle/handle.mjs': handlerText,
    ...migrationFiles('kept', ''),
    ...migrationFiles('safe', '-- ringlock: safe-down\n'),
  });
  return { version, commit: deploy(platform, `Orders ${version} with migrations`) };
}

/** Each says in `runs` that it ran; that it runs twice fails besides. */
function migrationFiles(kind: string, directives: string): Record<string, string> {
  const name = `${String(++migrations).padStart(4, '0')}_${kind}`;
  const says = (way: string) => `insert into runs (name, way) values ('${name}', '${way}');\n`;
  const path = `modules/Orders/migrations/${name}`;
  return {
    [`${path}.up.sql`]: `${says('up')}create table made_by_${name} (id int);\n`,
    [`${path}.down.sql`]: `${directives}${says('down')}drop table made_by_${name};\n`,
  };
}

/** Finds its log by the root whose version becomes active: many roots run the same handler. */
const handlerText = `import { appendFileSync, readFileSync } from 'node:fs';
const { event, toVersion, sourcePath, operationId } = JSON.parse(readFileSync(0, 'utf8'));
const [root] = sourcePath.split('/versions/');
appendFileSync(root + '.handled.jsonl', JSON.stringify({ event, toVersion, operationId }) + '\\n');
console.log('handled', event);
`;

export async function migratingUpgrade({ platform }: ChaosPlatform): Promise<Arrangement> {
  const { commit, version } = deployMigrating(platform);
  return { expected: converged(commit), handled: `onUpgrade ${version}` };
}

/** Takes the phase before back. */
export async function migratingRevert({ platform }: ChaosPlatform): Promise<Arrangement> {
  platform.git('revert', '--no-edit', 'HEAD');
  const commit = push(platform, head(platform));
  const { version } = JSON.parse(platform.read('modules/Orders/module.json'));
  return { expected: converged(commit), handled: `onDowngrade ${version}` };
}

/** A version that comes up sick: it is kept out. */
export async function sickUpgrade(
  { platform }: ChaosPlatform,
  root: ChaosRoot,
): Promise<Arrangement> {
  const before = standingOf(root).commit;
  const { commit, version } = deployMigrating(platform);
  root.application?.sick.add(version);
  return { expected: held(commit, before), handled: `onUpgrade ${version}` };
}

/** Orders stays as another commit has it, since the version of this one failed. */
function held(commit: string, before: string): Standing {
  const lock = { commit, held: { orders: before } };
  return { lock, commit, state: 'held', error: 'failed-before' };
}

/** What failed is reverted, or another version comes that is well. */
export async function mend(
  { platform }: ChaosPlatform,
  _root: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  if (random.next() < 0.5) {
    platform.git('revert', '--no-edit', 'HEAD');
    return { expected: converged(push(platform, head(platform))) };
  }
  const version = nextVersion();
  release(platform, 'Orders', version);
  const commit = deploy(platform, `Orders ${version} is well`);
  return { expected: converged(commit), handled: `onUpgrade ${version}` };
}

/** An upgrade is cut off wherever it is, and taken back or followed by another before it goes on. */
export async function overtakenUpgrade(
  platform: ChaosPlatform,
  root: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  const { commit } = deployMigrating(platform.platform);
  const { group } = await runFaulty({
    cwd: root.root,
    root: root.root,
    args: reconcileArguments(platform, root, '--once'),
    fault: { of: 'step', at: random.between(200, 900), how: 'kill' },
  });
  await waitForGroups([group]);
  const overtaken = { commit };
  // Whether its handlers ran, nobody knows.
  if (random.next() < 0.6) {
    const { expected } = await migratingRevert(platform);
    return { expected, overtaken };
  }
  return { ...(await migratingUpgrade(platform)), overtaken };
}

/** With git away, a person goes back to the version of Orders before. */
export async function rollBackLocally(
  platform: ChaosPlatform,
  root: ChaosRoot,
): Promise<Arrangement> {
  const before = standingOf(root).commit;
  const version = versionOf(platform, before);
  release(platform.platform, 'Orders', nextVersion());
  const commit = deploy(platform.platform, 'Orders, soon to be regretted');
  await passUnharmed(root, reconcileArguments(platform, root, '--once'));
  root.shown = { commit };
  await fileRequest(root.root, ['rollback', 'orders', '--reason', 'refunds fail']);
  root.asked.push(`hold orders ${version}`);
  const lock = { commit, held: { orders: before } };
  return { expected: { ...away(lock), orders: version }, repo: await nowhere() };
}

/** With git away still, the hold ends: what was committed last comes back. */
export async function unhold(platform: ChaosPlatform, root: ChaosRoot): Promise<Arrangement> {
  await fileRequest(root.root, ['unhold', 'orders']);
  root.asked.push('unhold orders null');
  const { commit } = standingOf(root);
  const orders = versionOf(platform, commit);
  return { expected: { ...away({ commit }), orders }, repo: await nowhere() };
}

function away(lock: Standing['lock']): Standing {
  return { lock, commit: lock.commit, state: 'unreachable', error: 'remote-' };
}

async function nowhere(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}/platform.git`;
}

function versionOf({ platform }: ChaosPlatform, commit: string): string {
  const lock = JSON.parse(platform.git('show', `${commit}:manifests/canary.lock.json`));
  return lock.modules.orders.version;
}
