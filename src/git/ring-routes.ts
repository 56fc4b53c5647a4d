import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { environmentFailed, refused } from '../errors.ts';
import { manifestsDirectory, ringFile } from '../repo/names.ts';
import { type RouteTable, routeTable } from '../repo/route-claims.ts';
import { generatedMark, routeFiles, routesDirectory } from '../repo/route-files.ts';
import type { RouteApi } from '../repo/route-settings.ts';
import type { GitRepository } from './git-command.ts';
import { readManifestFiles, writeManifestFile } from './manifest-files.ts';

/** What has to become of a file below overlays/routes so that it says what manifests/ does. */
export interface RouteFile {
  /** From the repository's top. */
  readonly path: string;
  readonly state: 'current' | 'missing' | 'stale' | 'left over';
}

export interface RoutePlan {
  readonly apis: readonly RouteApi[];
  readonly table: RouteTable;
  /** Sorted by path. */
  readonly files: readonly RouteFile[];
  /** The text of every file that has to be there, by path. */
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * Compares the routes of the work tree with what its manifests say; writes nothing.
 *
 * @param wanted the APIs to write routes for; undefined: those of the settings
 * @throws RinglockError `not-generated` for a file in the way that `ring routes` did not write, and what
 *   routeTable(), routeFiles() and readManifestFiles() throw
 */
export async function planRoutes(
  repository: GitRepository,
  wanted: readonly RouteApi[] | undefined,
): Promise<RoutePlan> {
  const { rings, tenants, settings } = await readManifestFiles(repository);
  const ringTexts = new Map<string, string>();
  for (const name of rings.keys()) {
    ringTexts.set(name, (await readIfThere(join(repository.topLevel, ringFile(name)))) ?? '');
  }
  const table = routeTable({ rings, tenants, ringTexts });
  const apis = wanted ?? settings.routes.apis;
  const texts = new Map(apis.flatMap((api) => [...routeFiles(api, table, settings.routes)]));
  const files = await Promise.all(apis.map((api) => compareFiles(repository, api, texts)));
  return { apis, table, texts, files: files.flat() };
}

/** Makes the work tree as planned. @throws RinglockError `disk-full`, `disk-denied`, `disk-failed` */
export async function writeRoutes(
  repository: GitRepository,
  { files, texts }: RoutePlan,
): Promise<void> {
  for (const { path, state } of files) {
    if (state === 'current') continue;
    const text = texts.get(path);
    if (text === undefined) {
      await rm(join(repository.topLevel, path));
      continue;
    }
    await mkdir(dirname(join(repository.topLevel, path)), { recursive: true });
    await writeManifestFile(repository, path, text);
  }
}

async function compareFiles(
  { topLevel }: GitRepository,
  api: RouteApi,
  texts: ReadonlyMap<string, string>,
): Promise<RouteFile[]> {
  const directory = routesDirectory(api);
  const expected = [...texts.keys()].filter((path) => dirname(path) === directory);
  const present = (await filesIn(join(topLevel, directory))).map((name) => `${directory}/${name}`);
  const paths = [...new Set([...expected, ...present])].sort();
  const compared = paths.map(async (path): Promise<RouteFile | undefined> => {
    const found = await readIfThere(join(topLevel, path));
    const wanted = texts.get(path);
    if (found === undefined) return { path, state: 'missing' };
    // Whatever line ends a checkout makes.
    const text = found.replaceAll('\r\n', '\n');
    if (text === wanted) return { path, state: 'current' };
    const isOurs = text.startsWith(`${generatedMark}\n`);
    if (isOurs) return { path, state: wanted === undefined ? 'left over' : 'stale' };
    if (wanted !== undefined) throw notGenerated(path);
    return undefined;
  });
  return (await Promise.all(compared)).filter((file) => file !== undefined);
}

function notGenerated(path: string): Error {
  return refused('not-generated', `${path} is in the way: \`ring routes\` did not write it`, {
    hint: `Move it elsewhere, or delete it if ${manifestsDirectory}/ says what it did.`,
  });
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unreadable(directory, error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Error {
  return environmentFailed('file-unreadable', `${path} cannot be read: ${String(error)}`);
}
