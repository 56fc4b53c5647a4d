import { distributionFilter } from '../digest/exclusions.ts';
import { moduleManifestFile } from '../digest/module-files.ts';
import { RinglockError } from '../errors.ts';
import {
  findBumpViolations,
  findGraphViolations,
  type ModuleStates,
  movedModules,
  type Violation,
} from '../repo/bump-rules.ts';
import type { DeployRef } from './deploy-branch.ts';
import { type GitRepository, runGitBytes } from './git-command.ts';
import { graphModuleOf, type PlatformSnapshot, readPlatform } from './platform-snapshot.ts';
import { type Released, readReleased, releasedDigests } from './released-bytes.ts';
import { commitTree } from './tree-snapshot.ts';

/** A violation with the files that changed, from the repository's top. */
export interface FoundViolation extends Violation {
  readonly files: readonly string[];
}

export interface VersionFindings {
  readonly violations: readonly FoundViolation[];
  /** Sentences that refuse nothing. */
  readonly notices: readonly string[];
  readonly released: Released;
}

/**
 * Applies the rules of DESIGN section 4 to one tree of the platform.
 *
 * @param baselines commits: none before the first, one as findBaseline() finds it, or a merge's parents
 */
export async function checkVersions(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  baselines: readonly string[],
  deployRefs: readonly DeployRef[],
): Promise<VersionFindings> {
  const now = statesOf(snapshot);
  const asked = [...now].map(([alias, { version, path }]) => ({ alias, version, path }));
  const [befores, released] = await Promise.all([
    Promise.all(baselines.map((commit) => statesAt(repository, commit))),
    readReleased(repository, deployRefs, asked),
  ]);
  const found = findBumpViolations({
    now,
    baselines: befores,
    released: releasedDigests(released),
  });
  const graph = new Map([...snapshot.modules].map(([alias, one]) => [alias, graphModuleOf(one)]));
  const broken = findGraphViolations(graph, snapshot.platform, befores);
  const skips = snapshot.settings.policy.incompatible === 'skip';
  const violations = skips ? found : [...found, ...broken];
  return {
    violations: await Promise.all(
      violations.map(async (violation) => ({
        ...violation,
        files:
          violation.kind === 'graph'
            ? []
            : await changedFiles(repository, snapshot, violation.alias, baselines[0]),
      })),
    ),
    notices: [
      ...movedModules(now, befores[0]),
      ...(skips ? broken.map(({ message }) => `${message}; rings leave it out`) : []),
    ],
    released,
  };
}

function statesOf({ modules }: PlatformSnapshot): ModuleStates {
  return new Map(
    [...modules].map(([alias, { manifest, sha256, path }]) => [
      alias,
      { version: manifest.version, sha256, path },
    ]),
  );
}

/** A commit from before the platform was one, or with a broken file, compares as empty. */
async function statesAt(repository: GitRepository, commit: string): Promise<ModuleStates> {
  try {
    return statesOf(await readPlatform(repository, await commitTree(repository, commit)));
  } catch (error) {
    if (error instanceof RinglockError && error.exitCode !== 3) return new Map();
    throw error;
  }
}

/** The distributed files of a module that differ from a commit; all of them when it is not there. */
async function changedFiles(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  alias: string,
  baseline: string | undefined,
): Promise<string[]> {
  const module = snapshot.modules.get(alias);
  if (module === undefined || baseline === undefined) return [];
  const listed = await runGitBytes(repository.topLevel, [
    'diff-tree',
    '-r',
    '-z',
    '--name-only',
    '--no-renames',
    baseline,
    snapshot.tree,
    '--',
    module.path,
  ]);
  const isDistributed = distributionFilter(module.manifest.distribution, [
    moduleManifestFile,
    module.manifest.changelog,
  ]);
  const paths = listed.toString().split('\0').filter(Boolean);
  return paths.filter((path) => isDistributed(path.slice(module.path.length + 1)));
}
