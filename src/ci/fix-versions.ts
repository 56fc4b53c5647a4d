import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import semver from 'semver';
import { badInput, type RinglockError, refused } from '../errors.ts';
import { type GitRepository, runGit, runGitBytes, tryGit } from '../git/git-command.ts';
import {
  type ModuleSnapshot,
  type PlatformSnapshot,
  readPlatform,
} from '../git/platform-snapshot.ts';
import { releasedDigests } from '../git/released-bytes.ts';
import { commitTree, workTree } from '../git/tree-snapshot.ts';
import { checkVersions, type VersionFindings } from '../git/version-check.ts';
import { planLocks, writeLocks } from '../git/write-locks.ts';
import { type BumpKind, nextFreeVersion } from '../repo/bump-rules.ts';
import { withChangelogHeading } from '../repo/changelog.ts';
import { withVersion } from '../repo/module-manifest.ts';
import { ringOfLockFile } from '../repo/names.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import type { CiRange } from './ci-range.ts';
import { committerOf } from './commit-onto.ts';
import { type MergeSides, mergeChangelog, mergeManifest } from './merge-module.ts';
import { printableName, shellWord } from './printable.ts';

/** A module that got another version. */
export interface FixedVersion {
  readonly alias: string;
  /** Of the change. */
  readonly from: string;
  readonly to: string;
}

export interface VersionsFix {
  /** Undefined where there was nothing to do. */
  readonly commit: string | undefined;
  readonly merged: boolean;
  readonly versions: readonly FixedVersion[];
}

/**
 * Merges the target as it is now into HEAD, gives the next free version to each module that would have
 * none of its own, writes the locks again, and commits. Conflicts are resolved in versions, changelog
 * sections and locks; any other, and whatever fails, leaves everything as it was.
 *
 * @param date for changelogs: `2026-11-24`
 * @throws RinglockError `work-tree-edited`, `not-head`, `nothing-to-merge`, `merge-conflict`,
 *   `versions-broken`, `lock-conflict`
 */
export async function fixVersions(
  repository: GitRepository,
  range: CiRange,
  date: string,
  environment: NodeJS.ProcessEnv,
): Promise<VersionsFix> {
  const tip = await requireFixable(repository, range);
  const identity = await committerOf(repository, environment);
  const merged = await mergeTarget(repository, tip, identity);
  try {
    const fix = { repository, range, tip, merged, date };
    await resolveConflicts(fix);
    const versions = await bumpModules(fix);
    if (!merged && versions.length === 0) return { commit: undefined, merged, versions };
    await lockAndStage(fix);
    const message = describeCommit(range, merged, versions);
    await runGit(repository.topLevel, ['commit', '-q', '-F', '-'], {
      input: message,
      env: identity,
    });
    const commit = await runGit(repository.topLevel, ['rev-parse', 'HEAD']);
    return { commit, merged, versions };
  } catch (error) {
    // Nothing was edited before (requireFixable), so nothing of anybody's is lost.
    await runGit(repository.topLevel, ['reset', '-q', '--hard', range.head]);
    throw error;
  }
}

interface Fix {
  readonly repository: GitRepository;
  readonly range: CiRange;
  readonly tip: string;
  /** Whether there was something to merge. */
  readonly merged: boolean;
  readonly date: string;
}

async function requireFixable(
  { topLevel }: GitRepository,
  { head, tip, target }: CiRange,
): Promise<string> {
  if (tip === undefined) {
    throw badInput('nothing-to-merge', `${target} is pushed already, there is nothing to merge`, {
      hint: 'Run it on the branch that is to be merged.',
    });
  }
  if ((await runGit(topLevel, ['rev-parse', 'HEAD'])) !== head) {
    throw badInput(
      'not-head',
      '--fix works on what is checked out, and --head names another commit',
    );
  }
  const edited = await runGit(topLevel, ['status', '--porcelain', '--untracked-files=no']);
  if (edited === '') return tip;
  throw refused('work-tree-edited', `there are changes that are not committed:\n${edited}`, {
    hint: 'Commit or stash them first.',
  });
}

/** @returns whether there is anything to merge */
async function mergeTarget(
  { topLevel }: GitRepository,
  tip: string,
  env: Readonly<Record<string, string>>,
): Promise<boolean> {
  const isThere = await tryGit(topLevel, ['merge-base', '--is-ancestor', tip, 'HEAD']);
  if (isThere.status === 0) return false;
  const { status, stderr, stdout } = await tryGit(
    topLevel,
    ['merge', '--quiet', '--no-commit', '--no-ff', tip],
    { env },
  );
  // 1 also for conflicts, which are looked at one by one.
  if (status === 0 || /CONFLICT/.test(stdout.toString())) return true;
  throw refused('merge-conflict', `git cannot merge ${tip.slice(0, 12)}: ${stderr.trim()}`);
}

async function resolveConflicts({ repository, range, date }: Fix): Promise<void> {
  const { topLevel } = repository;
  const listed = await runGitBytes(topLevel, ['diff', '--name-only', '--diff-filter=U', '-z']);
  const paths = listed.toString().split('\0').filter(Boolean);
  const open: string[] = [];
  for (const path of paths) {
    // planLocks() resolves locks, of which it reads the markers.
    if (ringOfLockFile(path) !== undefined) continue;
    const text = await resolveFile(repository, range.snapshot, path, date);
    if (text === undefined) open.push(path);
    else {
      await writeFileAtomically(join(topLevel, path), text);
      await runGit(topLevel, ['add', '--', path]);
    }
  }
  if (open.length > 0) throw conflictsRemain(open, range);
}

async function resolveFile(
  repository: GitRepository,
  { modules }: PlatformSnapshot,
  path: string,
  date: string,
): Promise<string | undefined> {
  for (const module of modules.values()) {
    const { manifest, path: directory } = module;
    if (path === `${directory}/module.json`) {
      return mergeManifest(repository, await sidesOf(repository, path), path);
    }
    if (path === `${directory}/${manifest.changelog}`) {
      return mergeChangelog(await sidesOf(repository, path), manifest.version, date);
    }
  }
  return undefined;
}

async function sidesOf({ topLevel }: GitRepository, path: string): Promise<MergeSides> {
  const [base, ours, theirs] = await Promise.all(
    [1, 2, 3].map(async (stage) => {
      const { status, stdout } = await tryGit(topLevel, ['show', `:${stage}:${path}`]);
      return status === 0 ? stdout.toString() : undefined;
    }),
  );
  return { base, ours, theirs };
}

async function bumpModules(fix: Fix): Promise<FixedVersion[]> {
  const { repository, range, tip, merged } = fix;
  const snapshot = await readPlatform(repository, await workTree(repository));
  const found = await checkVersions(repository, snapshot, [tip], range.deployRefs);
  // The hook that sees the merge wants bytes of neither side under a version greater than both.
  const asMerge = await checkVersions(repository, snapshot, [range.head, tip], range.deployRefs);
  const violations = [...found.violations, ...(merged ? asMerge.violations : [])];
  const aliases = new Set(
    violations.filter(({ kind }) => kind !== 'graph').map(({ alias }) => alias),
  );
  if (aliases.size === 0) {
    requireRight(found);
    return [];
  }
  const before = await versionsAt(repository, range.base);
  const target = await versionsAt(repository, tip);
  const versions: FixedVersion[] = [];
  for (const alias of aliases) {
    const module = snapshot.modules.get(alias);
    if (module === undefined) continue;
    const from = module.manifest.version;
    const known = { before: before.get(alias), target: target.get(alias) };
    const taken = releasedDigests(found.released).get(alias)?.keys() ?? [];
    const to = nextVersion(from, known, taken);
    await writeVersion(fix, module, to);
    versions.push({ alias, from, to });
  }
  const fixed = await readPlatform(repository, await workTree(repository));
  requireRight(await checkVersions(repository, fixed, [tip], range.deployRefs));
  return versions;
}

/** The kind of bump that the change made, from the greatest version that is taken. */
function nextVersion(
  from: string,
  { before, target }: { readonly before: string | undefined; readonly target: string | undefined },
  taken: Iterable<string>,
): string {
  const isBumped = before !== undefined && semver.gt(from, before);
  const difference = isBumped ? semver.diff(before, from) : 'patch';
  const kind = difference?.startsWith('pre') ? 'prerelease' : ((difference ?? 'patch') as BumpKind);
  const start = target !== undefined && semver.gt(target, from) ? target : from;
  return nextFreeVersion(start, kind, taken);
}

async function versionsAt(
  repository: GitRepository,
  commit: string | undefined,
): Promise<Map<string, string>> {
  if (commit === undefined) return new Map();
  const { modules } = await readPlatform(repository, await commitTree(repository, commit));
  return new Map([...modules].map(([alias, { manifest }]) => [alias, manifest.version]));
}

/** What the change wrote under its version goes under the new one, above what the target wrote. */
async function writeVersion(
  { repository, range, tip, date }: Fix,
  { path, manifest }: ModuleSnapshot,
  to: string,
): Promise<void> {
  const { topLevel } = repository;
  const changelog = `${path}/${manifest.changelog}`;
  const at = async (commit: string | undefined) => {
    if (commit === undefined) return undefined;
    const { status, stdout } = await tryGit(topLevel, ['show', `${commit}:${changelog}`]);
    return status === 0 ? stdout.toString() : undefined;
  };
  const [base, ours, theirs] = await Promise.all([at(range.base), at(range.head), at(tip)]);
  const present = await readFile(join(topLevel, changelog), 'utf8').catch(() => '');
  const text =
    mergeChangelog({ base, ours, theirs }, to, date) ??
    withChangelogHeading(present, to, date, 'Merged with what came before.');
  await writeFileAtomically(join(topLevel, changelog), text);
  const file = `${path}/module.json`;
  const manifestText = await readFile(join(topLevel, file), 'utf8');
  await writeFileAtomically(join(topLevel, file), withVersion(manifestText, file, to));
  await runGit(topLevel, ['add', '--', file, changelog]);
}

function requireRight({ violations }: VersionFindings): void {
  if (violations.length === 0) return;
  const lines = violations.map(({ message, mend }) => `${message}\n  → ${mend}`);
  throw refused(
    'versions-broken',
    `merged, the modules would not fit together:\n${lines.join('\n')}`,
    { hint: 'Nothing was changed. Mend these first.' },
  );
}

async function lockAndStage({ repository }: Fix): Promise<void> {
  const snapshot = await readPlatform(repository, await workTree(repository));
  const hasLocks = [...snapshot.rings.values()].some(({ ring }) => ring.tracking);
  const hasConflict = [...snapshot.lockTexts.values()].some((text) => text.includes('<<<<<<<'));
  if (hasLocks || hasConflict) {
    await writeLocks(repository, await planLocks(repository, snapshot), true);
  }
}

function describeCommit(
  { target, branch }: CiRange,
  merged: boolean,
  versions: readonly FixedVersion[],
): string {
  const names = versions.map(({ alias, to }) => `${alias} ${to}`).join(', ');
  const into = branch === undefined ? '' : ` into ${branch}`;
  if (!merged) return `Bump ${names}\n`;
  const lines = versions.map(({ alias, from, to }) => `${alias} ${from} → ${to}`);
  return [`Merge ${target}${into}`, ...(lines.length > 0 ? ['', ...lines] : []), ''].join('\n');
}

function conflictsRemain(paths: readonly string[], { target }: CiRange): RinglockError {
  return refused(
    'merge-conflict',
    `${target} cannot be merged: ${paths.map(printableName).join(', ')} conflict`,
    {
      hint: `Nothing was changed. Merge by hand (git merge ${shellWord(target ?? '')}), conclude it, then run this again.`,
      details: { paths },
    },
  );
}
