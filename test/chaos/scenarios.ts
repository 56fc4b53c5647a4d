import { deploy, release } from '../support/deploy.ts';
import { type Arrangement, converged, head } from './arrangement.ts';
import {
  type ChaosPlatform,
  type ChaosRoot,
  createRoot,
  reconcileArguments,
  type Surroundings,
  subjectOf,
} from './chaos-ring.ts';
import { checkRoot, shown } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';
import { migratingUpgrade, sickUpgrade } from './ring-phases.ts';

/**
 * `install`: the first of a platform. `upgrade`: one module of a root that serves. `migrating upgrade`:
 * besides, migrations, a handler, a notification and a health gate; `sick upgrade`: which it does not
 * pass.
 */
export const scenarios = ['upgrade', 'install', 'migrating upgrade', 'sick upgrade'] as const;
export type Scenario = (typeof scenarios)[number];

/** What is about to happen to a root. */
export interface Prepared {
  readonly platform: ChaosPlatform;
  readonly root: ChaosRoot;
  readonly arrangement: Arrangement;
}

export function surroundingsOf(scenario: Scenario): Surroundings {
  return scenario.includes(' ') ? 'full' : 'bare';
}

/** A root on which nothing is wrong, and what it has to go to. */
export async function prepare(platform: ChaosPlatform, scenario: Scenario): Promise<Prepared> {
  const root = await createRoot(platform, 'prepared', 'symlink');
  const first: Arrangement = { expected: converged(head(platform.platform)) };
  if (scenario === 'install') return { platform, root, arrangement: first };
  const { code, stderr, group } = await runFaulty({
    cwd: root.root,
    root: root.root,
    args: reconcileArguments(platform, root, '--once'),
  });
  await waitForGroups([group]);
  const { violations } = await checkRoot(subjectOf(platform, root, first), 'settled');
  if (code !== 0 || violations.length > 0) {
    throw new Error(`the first pass: ${code} ${stderr} ${violations.map(shown)}`);
  }
  root.standing = first.expected;
  root.shown = first.expected.lock;
  if (scenario === 'migrating upgrade') {
    return { platform, root, arrangement: await migratingUpgrade(platform) };
  }
  if (scenario === 'sick upgrade') {
    return { platform, root, arrangement: await sickUpgrade(platform, root) };
  }
  release(platform.platform, 'Orders', '1.0.1');
  const commit = deploy(platform.platform, 'Orders 1.0.1');
  return { platform, root, arrangement: { expected: converged(commit) } };
}
