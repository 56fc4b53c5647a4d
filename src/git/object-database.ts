import * as fs from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import git from 'isomorphic-git';
import { badInput, environmentFailed, RinglockError } from '../errors.ts';
import { consolidateSmallPacks } from './consolidate-packs.ts';
import { ObjectLayers } from './object-layers.ts';
import type { ObjectReader } from './object-store.ts';
import { PackIndex } from './pack-index.ts';
import { receivePack } from './receive-pack.ts';
import { writePack } from './write-pack.ts';

/** The objects that a ring's sidecar has: a bare repository that git itself can read. */
export interface ObjectDatabase extends ObjectReader {
  readonly gitdir: string;
  /**
   * Takes a whole pack in, or nothing of it: it is received beside the database, its trailer and every
   * object checked, `verify` called with a view of the database as it would be, and only then published.
   *
   * @returns how many objects the pack has
   * @throws RinglockError `fetch-incomplete`, `fetch-corrupt`, and what `chunks` and `verify` throw
   */
  importPack(
    chunks: AsyncIterable<Uint8Array>,
    verify?: (view: ObjectReader) => Promise<void>,
  ): Promise<number>;
  /** The commit that a ref (`refs/…`) names, or undefined. */
  readRef(name: string): Promise<string | undefined>;
  /** Replaces a ref atomically. */
  writeRef(name: string, oid: string): Promise<void>;
  /** Closes the packs that reading has opened; call it when an operation is over. */
  dropCaches(): void;
}

/**
 * Opens a database, or makes it where there is none; what an interrupted import left behind is deleted.
 *
 * @throws RinglockError `not-a-database` when something else stands at `gitdir`
 */
export async function openObjectDatabase(gitdir: string): Promise<ObjectDatabase> {
  await createIfAbsent(gitdir);
  await rm(incomingDirectory(gitdir), { recursive: true, force: true });
  await deletePartialPacks(join(gitdir, 'objects/pack'));
  const layers = await ObjectLayers.open([gitdir]);
  await consolidate(gitdir, layers);
  return {
    gitdir,
    has: (oid) => layers.has(oid),
    readCommit: (oid) => layers.readCommit(oid),
    readTree: (oid) => layers.readTree(oid),
    readBlob: (oid) => layers.readBlob(oid),
    importPack: (chunks, verify) => importPack(gitdir, layers, chunks, verify),
    readRef: (name) => readRef(gitdir, name),
    writeRef: (name, oid) => {
      requireRefName(name);
      return replaceFile(gitdir, join(gitdir, name), `${oid}\n`);
    },
    dropCaches: () => layers.dropCaches(),
  };
}

/** Fewer packs are only faster: whatever keeps them from being made leaves the old ones to be read. */
async function consolidate(gitdir: string, layers: ObjectLayers): Promise<void> {
  try {
    await consolidateSmallPacks(gitdir, async (oids) => {
      const pack = writePack(oids, (oid) => layers.readRaw(oid));
      await importPack(gitdir, layers, pack);
    });
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
  }
  await layers.refresh();
}

async function importPack(
  gitdir: string,
  layers: ObjectLayers,
  chunks: AsyncIterable<Uint8Array>,
  verify?: (view: ObjectReader) => Promise<void>,
): Promise<number> {
  const quarantine = join(incomingDirectory(gitdir), crypto.randomUUID());
  try {
    const pack = await receivePack(chunks, quarantine);
    const view = await layers.behind(quarantine);
    try {
      await verify?.(view);
    } finally {
      view.closeFront();
    }
    if (pack.objects > 0) await publish(pack.name, quarantine, gitdir);
    await layers.refresh();
    return pack.objects;
  } finally {
    await rm(quarantine, { recursive: true, force: true });
  }
}

function incomingDirectory(gitdir: string): string {
  return join(gitdir, 'incoming');
}

async function createIfAbsent(gitdir: string): Promise<void> {
  const names = await readdir(gitdir).catch(() => [] as string[]);
  if (names.includes('objects') && (await hasWholeHead(gitdir))) return;
  const ours = new Set(
    'objects refs hooks info config description HEAD incoming shallow'.split(' '),
  );
  const foreign = names.find((name) => !ours.has(name));
  if (foreign !== undefined) {
    throw badInput(
      'not-a-database',
      `${gitdir} has ${foreign} and is no git directory, expected a bare repository or nothing`,
    );
  }
  // Where there is a config, isomorphic-git takes the rest for made; a kill may have come between.
  await rm(join(gitdir, 'config'), { force: true });
  await git.init({ fs, bare: true, dir: gitdir, gitdir, defaultBranch: 'main' });
  await mkdir(join(gitdir, 'objects/pack'), { recursive: true });
}

/** HEAD is what is written last when a database is made. */
async function hasWholeHead(gitdir: string): Promise<boolean> {
  const head = await readFile(join(gitdir, 'HEAD'), 'utf8').catch(() => '');
  return /^(ref: refs\/.+|[0-9a-f]{40})\n$/.test(head);
}

/** A pack is whole when its index stands beside it: the index is renamed into place last. */
async function deletePartialPacks(directory: string): Promise<void> {
  const names = new Set(await readdir(directory).catch(() => [] as string[]));
  for (const name of names) {
    const whole =
      (name.endsWith('.pack') && names.has(name.replace(/pack$/, 'idx'))) ||
      (name.endsWith('.idx') && names.has(name.replace(/idx$/, 'pack')));
    if (whole && name.endsWith('.idx') && !(await isReadable(join(directory, name)))) {
      // Everything here can be fetched again.
      await rm(join(directory, name), { force: true });
      await rm(join(directory, name.replace(/idx$/, 'pack')), { force: true });
    }
    const kept = /\.(rev|bitmap|keep|mtimes|promisor)$/.test(name);
    if (!whole && !kept) await rm(join(directory, name), { force: true });
  }
}

async function isReadable(index: string): Promise<boolean> {
  return PackIndex.read(index).then(
    () => true,
    () => false,
  );
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
  await mkdir(dirname(path), { recursive: true });
  await mkdir(incomingDirectory(gitdir), { recursive: true });
  const temporary = join(incomingDirectory(gitdir), crypto.randomUUID());
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
}
