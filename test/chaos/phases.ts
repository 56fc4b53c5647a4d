import {
  appendFileSync,
  chmodSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { deploy, push, release } from '../support/deploy.ts';
import { moduleFiles } from '../support/platform.ts';
import { freePort } from '../support/postgres.ts';
import type { ChaosPlatform, ChaosRoot } from './chaos-ring.ts';
import { reconcileArguments } from './chaos-ring.ts';
import type { Damage } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';
import type { Random } from './random.ts';
import { readServed } from './read-root.ts';

/** What a phase prepared: from here on the program runs, and is killed. */
export interface Arrangement {
  /** The commit that the program goes to. */
  readonly commit: string;
  readonly args?: readonly string[];
  readonly damage?: Damage;
  readonly keepsOne?: boolean;
}

export interface Phase {
  readonly name: string;
  arrange(platform: ChaosPlatform, root: ChaosRoot, random: Random): Promise<Arrangement>;
}

/** One life of a root: what happens to it, in order; the first phase finds it empty. */
export const life: readonly Phase[] = [
  { name: 'install', arrange: async ({ platform }) => ({ commit: head(platform) }) },
  { name: 'upgrade', arrange: upgrade },
  { name: 'rollback', arrange: rollback },
  { name: 'repair', arrange: repair },
  { name: 'upgrade', arrange: upgrade },
  { name: 'removal', arrange: removeOrAdd },
  { name: 'delivery', arrange: deliverBacklog },
  { name: 'upgrade', arrange: upgrade },
  { name: 'gc', arrange: collect },
  { name: 'install', arrange: removeOrAdd },
  { name: 'repair', arrange: repair },
  { name: 'rollback', arrange: rollback },
  { name: 'gc', arrange: collect },
];

function head(platform: ChaosPlatform['platform']): string {
  return platform.git('rev-parse', 'HEAD');
}

let releases = 0;

/** Never the same one twice: the bytes of a released version never change. */
function nextVersion(): string {
  return `1.1.${++releases}`;
}

const changeable = ['Orders', 'Products', 'Communications'] as const;

async function upgrade(
  { platform }: ChaosPlatform,
  _root: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  const version = nextVersion();
  const first = random.pick(changeable);
  release(platform, first, version);
  if (random.next() < 0.4) {
    for (const other of changeable) if (other !== first) release(platform, other, version);
    // Large enough for more than one write.
    const large = `${random.next()}\n`.repeat(40_000);
    platform.write({
      [`modules/${first}/src/large.mjs`]: `// ${large}`,
      [`modules/${first}/a/b/c.txt`]: version,
    });
  }
  return { commit: deploy(platform, `${first} ${version}`) };
}

async function rollback({ platform }: ChaosPlatform): Promise<Arrangement> {
  platform.git('revert', '--no-edit', 'HEAD');
  return { commit: push(platform, head(platform)) };
}

/** Nobody depends on the mobile app: it goes, and comes back as another version. */
async function removeOrAdd({ platform }: ChaosPlatform): Promise<Arrangement> {
  const isThere = platform.tryGit('cat-file', '-e', 'HEAD:modules/MobileApp').status === 0;
  if (isThere) {
    platform.write({ 'modules/MobileApp': null });
    return { commit: deploy(platform, 'Remove MobileApp') };
  }
  const files = moduleFiles({
    directory: 'MobileApp',
    alias: 'mobile-app',
    version: nextVersion(),
  });
  const paths = Object.entries(files).map(([path, text]) => [`modules/MobileApp/${path}`, text]);
  platform.write(Object.fromEntries(paths));
  return { commit: deploy(platform, 'Add MobileApp') };
}

/** Damages what is served, in one of the ways in which disks and people do. */
async function repair(
  { platform }: ChaosPlatform,
  { root }: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  const served = await readServed(root);
  if (typeof served !== 'object') throw new Error(`nothing is served: ${served}`);
  const aliases = Object.keys(served.lock.modules);
  const alias = aliases[random.between(0, aliases.length - 1)] ?? 'orders';
  const directory = served.lock.modules[alias]?.directory ?? '';
  const module = join(served.path, directory);
  const way = random.pick(['changed', 'deleted', 'added', 'unlinked', 'foreign', 'current']);
  const damage: Damage = {
    generation: served.number,
    aliases: way === 'foreign' || way === 'current' ? [] : [alias],
    current: way === 'current',
  };
  if (way === 'changed') appendFileSync(join(module, 'src/index.mjs'), '// tampered\n');
  if (way === 'deleted') rmSync(join(module, 'module.json'));
  if (way === 'added') writeFileSync(join(module, 'src/added.mjs'), '');
  if (way === 'unlinked') {
    chmodSync(served.path, 0o755);
    rmSync(module, { recursive: true });
  }
  if (way === 'foreign') symlinkSync('/nowhere', join(served.path, 'Foreign'));
  if (way === 'current') rmSync(join(root, 'current'));
  return { commit: head(platform), damage };
}

/** Two upgrades with Postgres away, then it is there again: what waits is delivered. */
async function deliverBacklog(
  platform: ChaosPlatform,
  root: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  const DATABASE_URL = `postgres://nobody:nothing@127.0.0.1:${await freePort()}/nowhere`;
  let arrangement = await upgrade(platform, root, random);
  for (let turn = 0; turn < 2; turn++) {
    if (turn > 0) arrangement = await upgrade(platform, root, random);
    const { code, stderr, group } = await runFaulty({
      cwd: root.root,
      root: root.root,
      args: reconcileArguments(platform, root, '--once'),
      environment: { DATABASE_URL },
    });
    await waitForGroups([group]);
    if (code !== 0) throw new Error(`without Postgres a pass ended with ${code}: ${stderr}`);
  }
  return arrangement;
}

async function collect({ platform }: ChaosPlatform, { root }: ChaosRoot): Promise<Arrangement> {
  const generations = readdirSync(join(root, 'generations')).length;
  if (generations < 2) throw new Error('gc would have nothing to do');
  return {
    commit: head(platform),
    args: ['--keep-generations', '1', '--retain-for', '1ms'],
    keepsOne: true,
  };
}
