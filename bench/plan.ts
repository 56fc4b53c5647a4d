import { type PlanInput, plan } from '../src/plan/plan.ts';
import type { GraphModules } from '../src/repo/graph.ts';
import type { LockEntry } from '../src/repo/lock.ts';
import { type BenchRow, medianMs, showMs } from './support/measure.ts';

/** Deciding an upgrade of every module, at two sizes: the second shows that it is linear. */
export async function benchPlan(): Promise<BenchRow[]> {
  const small = planInput(1_000);
  const large = planInput(10_000);
  const smallMs = await medianMs(15, () => plan(small));
  const largeMs = await medianMs(15, () => plan(large));
  return [
    {
      what: 'plan over 10,000 modules, all upgraded',
      measured: showMs(largeMs),
      floor: `${showMs(smallMs)} for 1,000`,
      ratio: largeMs / smallMs,
      target: '< 100 ms, 10 × when linear',
    },
  ];
}

function planInput(count: number): PlanInput {
  const before = locked(count, '1.0.0');
  return {
    lock: { ring: 'edge', platform: '2.0.0', modules: locked(count, '1.0.1') },
    installed: new Map(
      [...before].map(([alias, { version, sha256 }]) => [
        alias,
        { version, sha256, directory: alias },
      ]),
    ),
    platform: '2.0.0',
    graph: graph(count, '1.0.1'),
    installedGraph: graph(count, '1.0.0'),
    policy: { incompatible: 'refuse', maxRemovals: 0.5 },
  };
}

function locked(count: number, version: string): Map<string, LockEntry> {
  const entries = new Map<string, LockEntry>();
  for (let index = 0; index < count; index++) {
    entries.set(`m${index}`, {
      version,
      directory: `m${index}`,
      source: null,
      tree: null,
      artifact: null,
      sha256: `sha256:${version.replaceAll('.', '').padEnd(64, '0')}`,
      file_count: 1,
      size_bytes: 1,
      released_at: null,
    });
  }
  return entries;
}

/** Each module depends on two others: the one before it and the one in its middle. */
function graph(count: number, version: string): GraphModules {
  const modules = new Map();
  for (let index = 0; index < count; index++) {
    const dependencies = new Map<string, string>();
    if (index > 0) dependencies.set(`m${index - 1}`, '^1.0.0');
    if (index > 2) dependencies.set(`m${Math.floor(index / 2)}`, '^1.0.0');
    modules.set(`m${index}`, { version, platformRange: '^2.0.0', dependencies });
  }
  return modules;
}
