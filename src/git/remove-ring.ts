import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { refused } from '../errors.ts';
import { lockFile, requireRingName, ringFile } from '../repo/names.ts';
import { overlayDirectory, routesDirectory } from '../repo/overlay-template.ts';
import { type RemovalObstacle, removalObstacles } from '../repo/ring-removal.ts';
import { commitCommand, commitFiles } from './commit-files.ts';
import { type GitRepository, runGitBytes } from './git-command.ts';
import { readManifestFiles, requireRing } from './manifest-files.ts';
import { overlayUsers } from './overlay-users.ts';

export interface RemovedRing {
  readonly ring: string;
  /** Files and folders that went, from the repository's top. */
  readonly removed: readonly string[];
  /** Null where the ring's file named none. */
  readonly namespace: string | null;
  readonly commit: string | undefined;
  /** What is left to do, as commands. */
  readonly next: readonly string[];
}

/**
 * Removes a ring's file, lock and overlay, once nothing needs the ring. One that was removed in part before
 * is removed to the end.
 *
 * @throws RinglockError `unknown-ring`; `ring-in-use` with everything that is in the way
 */
export async function removeRing(
  repository: GitRepository,
  name: string,
  options: { readonly commit: boolean },
): Promise<RemovedRing> {
  requireRingName(name);
  const files = await readManifestFiles(repository);
  const all = [ringFile(name), lockFile(name), overlayDirectory(name)];
  const places = all.filter((path) => existsSync(join(repository.topLevel, path)));
  if (places.length === 0) requireRing(files, name);
  const tracked = await trackedFiles(repository, all);
  const obstacles = [
    ...removalObstacles(name, files.rings.values(), files.tenants?.tenants.values() ?? []),
    ...(await overlayUsers(repository, name)).map((path) => ({
      problem: `${path} is built from ${overlayDirectory(name)}`,
      remedy: `take it out of ${path}`,
    })),
    ...(await editedFiles(repository, places)),
  ];
  if (obstacles.length > 0) throw inUse(name, obstacles);
  // The ring's own file goes first: without it there is no ring any more.
  for (const path of places) {
    await rm(join(repository.topLevel, path), { recursive: true, force: true });
  }
  const message = `Remove the ring ${name}\n`;
  const commit =
    options.commit && tracked.length > 0
      ? await commitFiles(repository, tracked, message)
      : undefined;
  const routes = existsSync(join(repository.topLevel, routesDirectory))
    ? ['ringlock ring routes']
    : [];
  const next =
    tracked.length === 0
      ? []
      : [commit === undefined ? commitCommand(message, tracked) : 'git push'];
  const namespace = files.rings.get(name)?.namespace ?? null;
  return { ring: name, removed: places, namespace, commit, next: [...routes, ...next] };
}

function inUse(name: string, obstacles: readonly RemovalObstacle[]) {
  const problems = obstacles.map(({ problem }) => problem);
  const remedies = [...new Set(obstacles.map(({ remedy }) => remedy))];
  return refused('ring-in-use', `${name} cannot be removed: ${problems.join('; ')}`, {
    hint: `Nothing was removed. First:\n${remedies.map((remedy) => `- ${remedy}`).join('\n')}`,
    details: { problems },
  });
}

async function trackedFiles(
  { topLevel }: GitRepository,
  places: readonly string[],
): Promise<string[]> {
  const listed = await runGitBytes(topLevel, ['ls-files', '-z', '--', ...places]);
  return listed.toString().split('\0').filter(Boolean);
}

/** What git could not bring back: edits, and files that it does not have. */
async function editedFiles(
  { topLevel }: GitRepository,
  places: readonly string[],
): Promise<RemovalObstacle[]> {
  if (places.length === 0) return [];
  const how = [
    'status',
    '--porcelain=v1',
    '-z',
    '--no-renames',
    '--untracked-files=all',
    '--ignored',
  ];
  const listed = await runGitBytes(topLevel, [...how, '--', ...places]);
  const lines = listed.toString().split('\0').filter(Boolean);
  const isLost = (line: string) => !/^( D|D )/.test(line);
  const edited = lines.filter(isLost).map((line) => line.slice(3));
  if (edited.length === 0) return [];
  return [
    {
      problem: `git does not have what is in ${edited.join(', ')}`,
      remedy: 'commit it, or delete it yourself',
    },
  ];
}
