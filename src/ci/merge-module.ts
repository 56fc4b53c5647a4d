import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GitRepository, tryGit } from '../git/git-command.ts';
import { changelogSection, changelogVersions } from '../repo/changelog.ts';
import { withVersion } from '../repo/module-manifest.ts';

/** One file in a merge; undefined where that side does not have it. */
export interface MergeSides {
  readonly base: string | undefined;
  /** The change's. */
  readonly ours: string | undefined;
  /** The target's. */
  readonly theirs: string | undefined;
}

/**
 * A module.json of a merge, the version apart: that is ours for now.
 *
 * @param file for messages
 * @returns undefined where more than the version conflicts
 */
export async function mergeManifest(
  { topLevel }: GitRepository,
  { base, ours, theirs }: MergeSides,
  file: string,
): Promise<string | undefined> {
  if (base === undefined || ours === undefined || theirs === undefined) return undefined;
  const { version } = JSON.parse(ours) as { version: string };
  const sides = [ours, base, theirs].map((text) => withVersion(text, file, version));
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-merge-'));
  try {
    const paths = ['ours', 'base', 'theirs'].map((name) => join(directory, name));
    for (const [at, path] of paths.entries()) await writeFile(path, sides[at] ?? '');
    const { status, stdout } = await tryGit(topLevel, ['merge-file', '-p', '--', ...paths]);
    return status === 0 ? stdout.toString() : undefined;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * A changelog of a merge: the target's, with what the change added under one heading above it.
 *
 * @param version the heading
 * @param date of a heading that is new: `2026-11-24`
 * @returns undefined where the change did more than add sections
 */
export function mergeChangelog(
  { base, ours, theirs }: MergeSides,
  version: string,
  date: string,
): string | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const known = new Set(changelogVersions(base ?? ''));
  const added = changelogVersions(ours).filter((each) => !known.has(each));
  const without = added.reduce(withoutSection, ours);
  // Where both began one, what stands above the sections has to be the same.
  const floor = base ?? changelogVersions(theirs).reduce(withoutSection, theirs);
  if (squeezed(without) !== squeezed(floor)) return undefined;
  const bodies = added.map((each) => changelogSection(ours, each) ?? '').filter(Boolean);
  if (bodies.length === 0) return undefined;
  return withSection(theirs, `## ${version} - ${date}\n\n${bodies.join('\n')}\n`);
}

function withoutSection(changelog: string, version: string): string {
  const lines = changelog.split('\n');
  const start = lines.findIndex((line) => changelogVersions(line)[0] === version);
  const body = changelogSection(changelog, version)?.split('\n').length ?? 0;
  const next = lines.findIndex(
    (line, at) => at > start && changelogVersions(line).length > 0 && at >= start + body,
  );
  return [...lines.slice(0, start), ...(next === -1 ? [] : lines.slice(next))].join('\n');
}

function withSection(changelog: string, section: string): string {
  const lines = changelog.split('\n');
  const newest = lines.findIndex((line) => changelogVersions(line).length > 0);
  if (newest === -1) return `${changelog.trimEnd()}\n\n${section}`;
  return [...lines.slice(0, newest), ...section.split('\n'), ...lines.slice(newest)].join('\n');
}

/** Blank lines and those at the end mean nothing. */
function squeezed(text: string): string {
  return text.replace(/\s*\n\s*/g, '\n').trim();
}
