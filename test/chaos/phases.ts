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
import {
  type Arrangement,
  converged,
  head,
  nextVersion,
  passUnharmed,
  standingOf,
} from './arrangement.ts';
import type { ChaosPlatform, ChaosRoot } from './chaos-ring.ts';
import { reconcileArguments } from './chaos-ring.ts';
import type { Damage } from './checker.ts';
import type { Random } from './random.ts';
import { readServed } from './read-root.ts';

const changeable = ['Orders', 'Products', 'Communications'] as const;

export async function upgrade(
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
  return { expected: converged(deploy(platform, `${first} ${version}`)) };
}

export async function rollback({ platform }: ChaosPlatform): Promise<Arrangement> {
  platform.git('revert', '--no-edit', 'HEAD');
  return { expected: converged(push(platform, head(platform))) };
}

/** Nobody depends on the mobile app: it goes, and comes back as another version. */
export async function removeOrAdd({ platform }: ChaosPlatform): Promise<Arrangement> {
  const isThere = platform.tryGit('cat-file', '-e', 'HEAD:modules/MobileApp').status === 0;
  if (isThere) {
    platform.write({ 'modules/MobileApp': null });
    return { expected: converged(deploy(platform, 'Remove MobileApp')) };
  }
  const files = moduleFiles({
    directory: 'MobileApp',
    alias: 'mobile-app',
    version: nextVersion(),
  });
  const paths = Object.entries(files).map(([path, text]) => [`modules/MobileApp/${path}`, text]);
  platform.write(Object.fromEntries(paths));
  return { expected: converged(deploy(platform, 'Add MobileApp')) };
}

/** Damages what is served, in one of the ways in which disks and people do. */
export async function repair(
  _platform: ChaosPlatform,
  given: ChaosRoot,
  random: Random,
): Promise<Arrangement> {
  const { root } = given;
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
  return { expected: standingOf(given), damage };
}

/** Two upgrades with Postgres away, then it is there again: what waits is delivered. */
export async function deliverBacklog(
  platform: ChaosPlatform,
  root: ChaosRoot,
): Promise<Arrangement> {
  const databaseUrl = `postgres://nobody:nothing@127.0.0.1:${await freePort()}/nowhere`;
  let expected = standingOf(root);
  for (let turn = 0; turn < 2; turn++) {
    // It has neither migrations nor handlers: a plan with those waits for Postgres.
    release(platform.platform, 'Products', nextVersion());
    expected = converged(deploy(platform.platform, 'Products while Postgres is away'));
    const more = ['--once', '--database-grace', '1ms'];
    await passUnharmed(root, reconcileArguments(platform, { ...root, databaseUrl }, ...more));
  }
  return { expected };
}

export async function collect(_platform: ChaosPlatform, root: ChaosRoot): Promise<Arrangement> {
  const generations = readdirSync(join(root.root, 'generations')).length;
  if (generations < 2) throw new Error('gc would have nothing to do');
  return {
    expected: standingOf(root),
    args: ['--keep-generations', '1', '--retain-for', '1ms'],
    keepsOne: true,
  };
}
