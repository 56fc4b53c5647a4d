import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BumpPlan, type ModuleBump, planBump } from '../repo/bump-plan.ts';
import { withChangelogHeading } from '../repo/changelog.ts';
import { withDependencyRange, withVersion } from '../repo/module-manifest.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { findDeployRefs } from './deploy-branch.ts';
import type { GitRepository } from './git-command.ts';
import type { ModuleSnapshot, PlatformSnapshot } from './platform-snapshot.ts';
import { readReleased, releasedDigests } from './released-bytes.ts';
import { requireModule } from './ring-selection.ts';

export interface BumpRequest {
  /** Alias or directory. */
  readonly module: string;
  /** major, minor, patch, prerelease or a version. */
  readonly version: string;
  /** Also widens the ranges of dependents that the new version leaves, and patch-bumps them. */
  readonly dependents: boolean;
  /** The first line of the changelog's new section. */
  readonly entry: string;
  /** `2026-11-24`, for the changelog. */
  readonly date: string;
}

/**
 * Gives a module its next free version: edits module.json and the changelog in the work tree.
 *
 * @throws RinglockError `unknown-module`, and what planBump() throws
 */
export async function bumpModule(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  request: BumpRequest,
): Promise<BumpPlan> {
  const { alias } = requireModule(snapshot, request.module);
  const manifests = new Map([...snapshot.modules].map(([each, { manifest }]) => [each, manifest]));
  const branches = [...snapshot.rings.values()].map(({ ring }) => ring.branch);
  const deployRefs = await findDeployRefs(repository, branches);
  const released = releasedDigests(await readReleased(repository, deployRefs));
  const plan = planBump(manifests, alias, request.version, released, request.dependents);
  for (const bump of plan.bumps) {
    const module = requireModule(snapshot, bump.alias);
    const entry =
      bump.alias === alias
        ? request.entry
        : `Accept ${[...bump.ranges].map(([name, range]) => `${name} ${range}`).join(', ')}.`;
    await writeBump(repository.topLevel, module, bump, request.date, entry);
  }
  return plan;
}

async function writeBump(
  topLevel: string,
  { path, manifest }: ModuleSnapshot,
  { to, ranges }: ModuleBump,
  date: string,
  entry: string,
): Promise<void> {
  const name = `${path}/module.json`;
  const file = join(topLevel, name);
  let text = withVersion(await readFile(file, 'utf8'), name, to);
  for (const [dependency, range] of ranges) text = withDependencyRange(text, dependency, range);
  const changelog = join(topLevel, path, manifest.changelog);
  const before = existsSync(changelog) ? await readFile(changelog, 'utf8') : '';
  await writeFileAtomically(changelog, withChangelogHeading(before, to, date, entry));
  // Last: until it is written, running the command again does the whole.
  await writeFileAtomically(file, text);
}
