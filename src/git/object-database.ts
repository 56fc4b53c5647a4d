import * as fs from 'node:fs';
import { lstat, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import git from 'isomorphic-git';
import { badInput, environmentFailed, RinglockError } from '../errors.ts';
import { defaultLimits, type Limits } from '../repo/limits.ts';
import { diskFailed } from '../store/disk-error.ts';
import { consolidateSmallPacks } from './consolidate-packs.ts';
import { directoryNames } from './directory-names.ts';
import { ObjectLayers } from './object-layers.ts';
import type { ObjectReader, RawObject } from './object-store.ts';
import { findDamagedPacks, isIndexWhole } from './pack-health.ts';
import { receivePack } from './receive-pack.ts';
import { writePack } from './write-pack.ts';

/** The objects that a ring's sidecar has: a bare repository that git itself can read. */
export interface ObjectDatabase extends ObjectReader {
  readonly gitdir: string;
  /** An object as it is stored, for what is signed byte for byte. @throws RinglockError `object-missing` */
  readRaw(oid: string): Promise<RawObject>;
  /** What is taken in, at most. */
  readonly limits: Limits;
  /**
   * Takes a whole pack in, or nothing of it: it is received beside the database, its trailer and every
   * object checked, `verify` called with a view of the database as it would be, and only then published.
   *
   * @returns how many objects the pack has
   * @throws RinglockError `fetch-incomplete`, `fetch-corrupt`, `limit-exceeded`, and what `chunks` and `verify` throw
   */
  importPack(
    chunks: AsyncIterable<Uint8Array>,
    verify?: (view: ObjectReader) => Promise<void>,
  ): Promise<number>;
  /** The commit that a ref (`refs/…`) names, or undefined. */
  readRef(name: string): Promise<string | undefined>;
  /** Replaces a ref atomically. */
  writeRef(name: string, oid: string): Promise<void>;
  /**
   * Deletes what made reading fail, so that it is fetched again: packs that are not as their checksums
   * say. Does nothing when no read has failed. Nothing may be reading meanwhile.
   *
   * @returns names of what was deleted
   */
  mend(): Promise<readonly string[]>;
  /** Gives the memory of objects read before back; call it when an operation is over. */
  dropCaches(): void;
}

/**
 * Opens a database, or makes it where there is none; what an interrupted import left behind is deleted,
 * and so is what is seen to be damaged: all of it can be fetched again.
 *
 * @throws RinglockError `not-a-database` when something else stands at `gitdir`, `disk-denied` and its like
 */
export async function openObjectDatabase(
  gitdir: string,
  limits: Limits = defaultLimits,
): Promise<ObjectDatabase> {
  try {
    return await openDatabase(gitdir, limits);
  } catch (error) {
    throw diskFailed(error, gitdir);
  }
}

async function openDatabase(gitdir: string, limits: Limits): Promise<ObjectDatabase> {
  await createIfAbsent(gitdir);
  await makeSkeleton(gitdir);
  await rm(incomingDirectory(gitdir), { recursive: true, force: true });
  await deletePartialPacks(join(gitdir, 'objects/pack'));
  const layers = await ObjectLayers.open([gitdir], limits);
  await consolidate(gitdir, layers, limits);
  return {
    gitdir,
    limits,
    has: (oid) => layers.has(oid),
    readCommit: (oid) => layers.readCommit(oid),
    readTree: (oid) => layers.readTree(oid),
    readBlob: (oid) => layers.readBlob(oid),
    readRaw: (oid) => layers.readRaw(oid),
    importPack: (chunks, verify) => importPack(gitdir, layers, limits, chunks, verify),
    mend: () => mend(gitdir, layers),
    readRef: (name) => readRef(gitdir, name),
    writeRef: (name, oid) => {
      requireRefName(name);
      return replaceFile(gitdir, join(gitdir, name), `${oid}\n`);
    },
    dropCaches: () => layers.dropCaches(),
  };
}

/** Fewer packs are only faster: whatever keeps them from being made leaves the old ones to be read. */
async function consolidate(gitdir: string, layers: ObjectLayers, limits: Limits): Promise<void> {
  try {
    await consolidateSmallPacks(gitdir, async (oids) => {
      const pack = writePack(oids, (oid) => layers.readRaw(oid));
      await importPack(gitdir, layers, limits, pack);
    });
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
  }
  await layers.refresh();
}

async function importPack(
  gitdir: string,
  layers: ObjectLayers,
  limits: Limits,
  chunks: AsyncIterable<Uint8Array>,
  verify?: (view: ObjectReader) => Promise<void>,
): Promise<number> {
  const quarantine = join(incomingDirectory(gitdir), crypto.randomUUID());
  try {
    const pack = await receivePack(chunks, quarantine, limits);
    const view = await layers.behind(quarantine);
    try {
      await verify?.(view);
    } finally {
      view.closeFront();
    }
    if (pack.objects > 0) await publish(pack.name, quarantine, gitdir);
    await layers.refresh();
    return pack.objects;
  } catch (error) {
    throw diskFailed(error, gitdir);
  } finally {
    await rm(quarantine, { recursive: true, force: true }).catch(() => {}); // Deleted when opened next.
  }
}

async function mend(gitdir: string, layers: ObjectLayers): Promise<string[]> {
  if (layers.broken.size === 0) return [];
  layers.dropCaches();
  const damaged = await findDamagedPacks(gitdir);
  try {
    for (const { name } of damaged) await deletePack(join(gitdir, 'objects/pack'), name);
    const loose = [...layers.broken].map((oid) => `${oid.slice(0, 2)}/${oid.slice(2)}`);
    for (const name of loose) await rm(join(gitdir, 'objects', name), { force: true });
  } catch (error) {
    throw diskFailed(error, gitdir);
  }
  layers.broken.clear();
  await layers.refresh();
  return damaged.map(({ name }) => name);
}

function incomingDirectory(gitdir: string): string {
  return join(gitdir, 'incoming');
}

async function createIfAbsent(gitdir: string): Promise<void> {
  const names = await directoryNames(gitdir);
  if (names.includes('objects') && names.includes('HEAD')) return;
  const foreign = names.find((name) => !ours.has(name));
  if (foreign !== undefined) {
    throw badInput(
      'not-a-database',
      `${gitdir} has ${foreign} and is no git directory, expected a bare repository or nothing`,
      { hint: 'Look what it is, then: ringlock reconcile --repair moves it aside.' },
    );
  }
  // Where there is a config, isomorphic-git takes the rest for made; a kill may have come between.
  await rm(join(gitdir, 'config'), { force: true });
  await git.init({ fs, bare: true, dir: gitdir, gitdir, defaultBranch: 'main' });
}

/** Of a git directory; one that lost a part still has what is in the others. */
const ours: ReadonlySet<string> = new Set([
  ...['objects', 'refs', 'hooks', 'info', 'config', 'description', 'HEAD', 'incoming', 'shallow'],
]);

/** What makes a directory a repository, put back where it is not as git has it. */
async function makeSkeleton(gitdir: string): Promise<void> {
  for (const name of ['objects', 'objects/pack', 'refs', 'refs/heads']) {
    const path = join(gitdir, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory()) continue;
    await rm(path, { force: true });
    await mkdir(path, { recursive: true });
  }
  const head = join(gitdir, 'HEAD');
  const text = await readFile(head, 'utf8').catch(() => '');
  if (/^(ref: refs\/[\w./-]+|[0-9a-f]{40})\n?$/.test(text)) return;
  await rm(head, { recursive: true, force: true });
  await writeFile(head, 'ref: refs/heads/main\n');
}

/** A pack is whole when its index stands beside it: the index is renamed into place last. */
async function deletePartialPacks(directory: string): Promise<void> {
  const names = new Set(await directoryNames(directory));
  for (const name of names) {
    const whole =
      (name.endsWith('.pack') && names.has(name.replace(/pack$/, 'idx'))) ||
      (name.endsWith('.idx') && names.has(name.replace(/idx$/, 'pack')));
    if (whole && name.endsWith('.idx') && !(await isIndexWhole(join(directory, name)))) {
      await deletePack(directory, name.slice(0, -'.idx'.length));
    }
    const kept = /\.(rev|bitmap|keep|mtimes|promisor)$/.test(name);
    if (!whole && !kept) await rm(join(directory, name), { force: true });
  }
}

/** The index first: a pack without one is deleted when the database is opened. */
async function deletePack(directory: string, name: string): Promise<void> {
  for (const extension of ['idx', 'pack']) {
    await rm(join(directory, `${name}.${extension}`), { force: true, recursive: true });
  }
}

async function publish(name: string, quarantine: string, gitdir: string): Promise<void> {
  const from = join(quarantine, 'objects/pack');
  const to = join(gitdir, 'objects/pack');
  await mkdir(to, { recursive: true });
  for (const extension of ['pack', 'idx']) await sync(join(from, `${name}.${extension}`));
  for (const extension of ['pack', 'idx']) {
    await rename(join(from, `${name}.${extension}`), join(to, `${name}.${extension}`));
  }
  await sync(to);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readRef(gitdir: string, name: string): Promise<string | undefined> {
  requireRefName(name);
  const text = await readFile(join(gitdir, name), 'utf8').catch(() => '');
  return /^([0-9a-f]{40})\n$/.exec(text)?.[1];
}

function requireRefName(name: string): void {
  if (
    !name.startsWith('refs/') ||
    name.split('/').some((part) => /^\.|^$|\.\.|\.lock$/.test(part))
  ) {
    throw environmentFailed('invalid-ref-name', `${JSON.stringify(name)} is not a name of a ref`);
  }
}

/** Written where the next start deletes what a kill leaves. */
async function replaceFile(gitdir: string, path: string, text: string): Promise<void> {
  const temporary = join(incomingDirectory(gitdir), crypto.randomUUID());
  try {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(incomingDirectory(gitdir), { recursive: true });
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw diskFailed(error, path);
  }
}
