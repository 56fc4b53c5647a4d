import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { environmentFailed, refused } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAlias } from '../../repo/names.ts';
import { syncDirectory, writeFileAtomically } from '../../store/atomic-file.ts';
import { diskFailed, isAbsent } from '../../store/disk-error.ts';
import { readArtifact } from './artifact-reading.ts';
import { type DirectoryIndex, formatIndex, type IndexEntry, indexName } from './directory-index.ts';
import {
  canBePublished,
  digestOfSumFile,
  filesBesideZip,
  isZipOf,
  sortedVersions,
  versionPublished,
  zipName,
} from './package-files.ts';
import type { FoundArtifact, PackagedModule, Published, Registry } from './registry.ts';
import { sweepUnfinished, unfinishedName } from './unfinished.ts';

/**
 * Packages in a directory of this machine: `<alias>/<version>/<Name>-<version>.zip`, its `.sha256` and
 * `MANIFEST.json`. A version comes into being by one rename of its whole directory.
 *
 * @param directory absolute
 */
export function directoryRegistry(directory: string): Registry {
  const display = `the directory ${directory}`;
  const base = `${pathToFileURL(directory).href.replace(/\/+$/, '')}/`;
  const versions = async (alias: string) => (isAlias(alias) ? versionsIn(directory, alias) : []);
  const find = (alias: string, version: string) => findIn(directory, alias, version);
  return {
    display,
    owns: (url) => url.startsWith(base) && isPlainUrl(url),
    versions,
    find,
    read: (artifact) => {
      const alias = artifact.url.slice(base.length).split('/', 1)[0] ?? '';
      const bytes = readBytes(directory, artifact, display);
      return readArtifact({ versions }, alias, artifact, bytes);
    },
    publish: async (module, signal) => {
      signal.throwIfAborted();
      const published = await publishIn(directory, module, display);
      await writeIndex(directory, module.alias);
      return published;
    },
  };
}

/** Whether a URL means what it says: no dot segments, no slash in disguise, no query. */
function isPlainUrl(url: string): boolean {
  return URL.canParse(url) && new URL(url).href === url && !/[?#]|%2f|%5c|%00/i.test(url);
}

async function versionsIn(directory: string, alias: string): Promise<readonly string[]> {
  const names = await readNames(join(directory, alias));
  const present: string[] = [];
  for (const version of sortedVersions(names)) {
    const files = await readNames(join(directory, alias, version));
    if (files.some((file) => isZipOf(version, file))) present.push(version);
  }
  return present;
}

async function findIn(
  directory: string,
  alias: string,
  version: string,
): Promise<FoundArtifact | undefined> {
  if (!canBePublished(alias, version)) return undefined;
  const entry = await entryOf(directory, alias, version);
  if (entry === undefined) return undefined;
  const { file, sha256, size_bytes, released_at } = entry;
  const { href } = pathToFileURL(join(directory, alias, version, file));
  return { url: href, sha256, size_bytes, released_at };
}

async function entryOf(
  directory: string,
  alias: string,
  version: string,
): Promise<IndexEntry | undefined> {
  const at = join(directory, alias, version);
  const file = (await readNames(at)).sort().find((name) => isZipOf(version, name));
  if (file === undefined) return undefined;
  try {
    const { size, mtime } = await stat(join(at, file));
    const sum = await readFile(join(at, `${file}.sha256`), 'utf8').catch(() => '');
    return {
      file,
      sha256: digestOfSumFile(sum) ?? (await digestOf(join(at, file))),
      size_bytes: size,
      released_at: mtime.toISOString().replace(/\.\d+Z$/, 'Z'),
    };
  } catch (error) {
    throw diskFailed(error, at);
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

/** The names in a directory; none where it is not there. */
async function readNames(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw diskFailed(error, path);
  }
}

async function* readBytes(
  directory: string,
  { url }: LockArtifact,
  display: string,
): AsyncGenerator<Uint8Array> {
  const path = fileURLToPath(url);
  if (!path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`)) {
    throw refused('foreign-artifact', `${url} is not in ${display}`);
  }
  try {
    // A pipe or a device would never end.
    if (!(await stat(path)).isFile()) throw refused('foreign-artifact', `${url} is no file`);
    for await (const chunk of createReadStream(path)) yield chunk as Buffer;
  } catch (error) {
    if (!isAbsent(error)) throw diskFailed(error, path);
    throw environmentFailed('registry-not-found', `${display} has no ${path}`, {
      details: { status: 404 },
    });
  }
}

async function publishIn(
  directory: string,
  module: PackagedModule,
  display: string,
): Promise<Published> {
  const { alias, version } = module;
  const present = await findIn(directory, alias, version);
  if (present !== undefined) return samePublished(present, module, display);
  await mkdir(join(directory, alias), { recursive: true }).catch((error) => {
    throw diskFailed(error, directory);
  });
  const target = join(directory, alias, version);
  await sweepUnfinished(join(directory, alias));
  const beside = join(directory, alias, await unfinishedName(version));
  try {
    await writeFiles(beside, module);
    // Onto a directory that has files this fails: whoever came first has the version.
    await rename(beside, target);
    await syncDirectory(join(directory, alias));
  } catch (error) {
    await rm(beside, { recursive: true, force: true }).catch(() => {});
    const taken = await findIn(directory, alias, version);
    if (taken !== undefined) return samePublished(taken, module, display);
    throw diskFailed(error, target);
  }
  const artifact = await findIn(directory, alias, version);
  if (artifact !== undefined) return { outcome: 'published', artifact };
  throw environmentFailed('disk-failed', `${target} is gone as soon as it was written`);
}

function samePublished(present: FoundArtifact, module: PackagedModule, display: string): Published {
  if (present.sha256 === module.sha256) return { outcome: 'same', artifact: present };
  throw versionPublished(display, module, present);
}

async function writeFiles(directory: string, module: PackagedModule): Promise<void> {
  await mkdir(directory);
  for (const { name, content } of filesBesideZip(module)) {
    await writeSynced(join(directory, name), content);
  }
  await writeSynced(join(directory, zipName(module)), module.zip);
  await syncDirectory(directory);
}

async function writeSynced(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** For web servers that give the directory out. Written until it says what is there: others publish too. */
async function writeIndex(directory: string, alias: string): Promise<void> {
  const path = join(directory, alias, indexName);
  for (;;) {
    const wanted = formatIndex(await presentIndex(directory, alias));
    const written = await readFile(path, 'utf8').catch(() => undefined);
    if (written === wanted) return;
    await writeFileAtomically(path, wanted);
  }
}

async function presentIndex(directory: string, alias: string): Promise<DirectoryIndex> {
  const index = new Map<string, IndexEntry>();
  for (const version of await versionsIn(directory, alias)) {
    const entry = await entryOf(directory, alias, version);
    if (entry !== undefined) index.set(version, entry);
  }
  return index;
}
