import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { badInput, environmentFailed, RinglockError, refused } from '../errors.ts';
import { committedText } from '../repo/committed-text.ts';
import { type Lock, parseLock } from '../repo/lock.ts';
import {
  lockFile,
  manifestsDirectory,
  ringOfLockFile,
  ringOfRingFile,
  settingsFile,
  tenantsFile,
} from '../repo/names.ts';
import { parseRingFile, type Ring } from '../repo/ring.ts';
import { parseSettings, type Settings } from '../repo/settings.ts';
import { parseTenantsFile, type TenantsFile } from '../repo/tenants.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import type { GitRepository } from './git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';
import type { TreeEntry } from './object-store.ts';

/** What `manifests/` says in the work tree, edits that are not committed included. */
export interface ManifestFiles {
  readonly settings: Settings;
  /** By name, sorted. */
  readonly rings: ReadonlyMap<string, Ring>;
  /** The text of each lock file, by ring. */
  readonly lockTexts: ReadonlyMap<string, string>;
  /** Undefined where there is no tenants.yaml. */
  readonly tenants: TenantsFile | undefined;
}

/** @throws RinglockError `no-platform`, and what the parsers of the files throw */
export async function readManifestFiles({ topLevel }: GitRepository): Promise<ManifestFiles> {
  return manifestFilesOf(await readTexts(join(topLevel, manifestsDirectory)));
}

/**
 * The same of a commit or tree.
 *
 * @throws RinglockError `no-platform`, and what the parsers of the files throw
 */
export async function readManifestFilesAt(
  repository: GitRepository,
  treeish: string,
): Promise<ManifestFiles> {
  return withObjects(repository, async (objects) => {
    const entries = await manifestsAt(objects, treeish);
    const wanted = entries
      .map(({ path, mode, oid }) => ({ path: `${manifestsDirectory}/${path}`, mode, oid }))
      .filter(({ path, mode }) => mode.startsWith('100') && isReadHere(path));
    const texts = wanted.map(
      async ({ path, oid }) => [path, committedText(await objects.readBlob(oid), path)] as const,
    );
    return manifestFilesOf(new Map(await Promise.all(texts)));
  });
}

async function manifestsAt(objects: ObjectBatch, treeish: string): Promise<readonly TreeEntry[]> {
  try {
    return await objects.readTree(`${treeish}:${manifestsDirectory}`);
  } catch (error) {
    if (!isObjectMissing(error)) throw error;
    throw badInput('no-platform', `${treeish} has no ${manifestsDirectory}/`, {
      hint: 'Fetch it, or name another branch or commit.',
    });
  }
}

function manifestFilesOf(texts: ReadonlyMap<string, string>): ManifestFiles {
  const rings = new Map<string, Ring>();
  const lockTexts = new Map<string, string>();
  for (const [path, text] of texts) {
    const ring = ringOfRingFile(path);
    if (ring !== undefined) rings.set(ring, parseRingFile(text, ring).ring);
    const locked = ringOfLockFile(path);
    if (locked !== undefined) lockTexts.set(locked, text);
  }
  const tenants = texts.get(tenantsFile);
  return {
    settings: parseSettings(texts.get(settingsFile) ?? ''),
    rings,
    lockTexts,
    tenants: tenants === undefined ? undefined : parseTenantsFile(tenants),
  };
}

/** @throws RinglockError `unknown-ring`, naming the rings there are */
export function requireRing<R>(
  { rings }: { readonly rings: ReadonlyMap<string, R> },
  name: string,
): R {
  const ring = rings.get(name);
  if (ring !== undefined) return ring;
  throw refused('unknown-ring', `${manifestsDirectory} has no ring ${JSON.stringify(name)}`, {
    hint: `Rings there: ${[...rings.keys()].join(', ') || 'none; make them with ringlock init'}.`,
    details: { rings: [...rings.keys()] },
  });
}

/** A ring's lock and its text. @throws RinglockError `no-lock`, and what parseLock() throws */
export function requireLock(
  { lockTexts }: ManifestFiles,
  ring: string,
): { readonly lock: Lock; readonly text: string } {
  const text = lockTexts.get(ring);
  if (text !== undefined) return { lock: parseLock(text, ring), text };
  throw badInput('no-lock', `${lockFile(ring)} is missing`, {
    hint: `Write it with \`ringlock lock --ring ${ring}\`.`,
  });
}

/** Replaces a committed file in the work tree; `path` from the repository's top. */
export async function writeManifestFile(
  { topLevel }: GitRepository,
  path: string,
  text: string,
): Promise<void> {
  await writeFileAtomically(join(topLevel, path), text);
}

/** The texts of the files directly below manifests/ that are read, by path, sorted. */
async function readTexts(directory: string): Promise<ReadonlyMap<string, string>> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    throw badInput('no-platform', `${directory} cannot be read: this is not a ringlock platform`, {
      hint: 'Run `ringlock init` at the top of the repository.',
      cause: error,
    });
  }
  const wanted = names
    .map((name) => `${manifestsDirectory}/${name}`)
    .filter(isReadHere)
    .sort();
  const read = wanted.map(async (path) => {
    try {
      return [path, committedText(await readFile(join(directory, '..', path)), path)] as const;
    } catch (error) {
      if (error instanceof RinglockError) throw error;
      throw environmentFailed('file-unreadable', `${path} cannot be read: ${String(error)}`);
    }
  });
  return new Map(await Promise.all(read));
}

function isReadHere(path: string): boolean {
  return (
    path === settingsFile ||
    path === tenantsFile ||
    ringOfLockFile(path) !== undefined ||
    ringOfRingFile(path) !== undefined
  );
}
