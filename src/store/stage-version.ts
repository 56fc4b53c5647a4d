import { createHash } from 'node:crypto';
import { chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { byPathBytes, contentDigest, type DigestedFile } from '../digest/content-digest.ts';
import { nameRefusal } from '../digest/refusals.ts';
import { type RinglockError, refused } from '../errors.ts';
import type { SourceFile } from '../source/module-source.ts';
import { syncDirectory } from './atomic-file.ts';
import { diskFailed } from './disk-error.ts';
import type { StoreContext } from './layout.ts';
import { readOnlyDirectory, readOnlyFile } from './module-tree.ts';
import { publishDirectory, withStaging } from './staging.ts';
import type { StoredVersion, VersionPin, VersionStore } from './version-store.ts';

/** What was staged; sizes are those that a lock counts. */
export interface StagedVersion {
  readonly stored: StoredVersion;
  readonly bytes: number;
  readonly files: number;
}

/** Files written at once: fsyncs that run together share a journal commit of the file system. */
const writers = 32;
/** Bytes of files that wait to be written while the next one is read. */
const waitingBytes = 8 * 1024 * 1024;

/**
 * Writes a version into staging while digesting it, compares with the pin, and moves it into the
 * store. Nothing of it is left when it fails.
 *
 * @param source what delivers the files, for the message
 * @throws RinglockError `digest-mismatch`, `refused-path`, `disk-full` and its like, and whatever
 *   `files` throws
 */
export async function stageVersion(
  context: StoreContext,
  store: VersionStore,
  pin: VersionPin,
  files: AsyncIterable<SourceFile>,
  source: string,
): Promise<StagedVersion> {
  return withStaging(context, async (staged) => {
    const written = await writeFiles(context, staged, pin, files, source);
    const found = contentDigest(written.files);
    if (found !== pin.sha256) throw digestMismatch(pin, found, source, written.files.length);
    await finishDirectories(context, staged, written.directories);
    const stored = await store.reserve(pin, fileListOf(written.files));
    let isThere = false;
    try {
      await publishDirectory(context, staged, store.pathOf(stored));
      isThere = true;
    } finally {
      store.settle(stored, isThere);
    }
    return { stored, bytes: written.bytes, files: written.files.length };
  });
}

function digestMismatch(pin: VersionPin, found: string, source: string, files: number) {
  return refused(
    'digest-mismatch',
    `${pin.alias} ${pin.version} from ${source} has the digest ${found} (${files} files), the lock pins ${pin.sha256}`,
    {
      hint: 'Nothing was installed. Check that source, or lock the module again if the lock is wrong.',
      details: { ...pin, expected: pin.sha256, found, source },
    },
  );
}

interface WrittenFiles {
  readonly files: readonly DigestedFile[];
  readonly directories: ReadonlySet<string>;
  readonly bytes: number;
}

async function writeFiles(
  context: StoreContext,
  staged: string,
  pin: VersionPin,
  files: AsyncIterable<SourceFile>,
  source: string,
): Promise<WrittenFiles> {
  const written: DigestedFile[] = [];
  const paths = new PathGuard(`${pin.alias} ${pin.version} from ${source}`);
  const pool = new WritePool(writers);
  let bytes = 0;
  try {
    for await (const file of files) {
      for (const directory of paths.add(file.path)) {
        await mkdir(join(staged, directory), { mode: 0o755 });
      }
      written.push({ path: file.path, sha256: sha256(file.content) });
      bytes += file.content.length;
      await pool.add(file.content.length, () =>
        writeSyncedFile(context, join(staged, file.path), file),
      );
    }
  } catch (error) {
    await pool.settle();
    throw diskFailed(error, staged);
  }
  await pool.finish();
  return { files: written, directories: paths.directories, bytes };
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

async function writeSyncedFile(
  { fault }: StoreContext,
  path: string,
  { content, executable }: SourceFile,
): Promise<void> {
  try {
    await fault('write a file');
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.chmod(readOnlyFile(executable));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw diskFailed(error, path);
  }
}

/** Deepest first, so that each directory is complete and read-only before the one above is synced. */
async function finishDirectories(
  { fault }: StoreContext,
  staged: string,
  directories: ReadonlySet<string>,
): Promise<void> {
  await fault('sync the directories');
  for (const directory of [...directories].reverse()) {
    await chmod(join(staged, directory), readOnlyDirectory);
    await syncDirectory(join(staged, directory));
  }
  await syncDirectory(staged);
}

/** The record of a version: sha256sum's own form, in the order of the content digest. */
function fileListOf(files: readonly DigestedFile[]): string {
  return [...files]
    .sort(byPathBytes)
    .map(({ path, sha256 }) => `${sha256}  ${path}\n`)
    .join('');
}

/** Lets through only paths that stay below the staging directory and meet no other one there. */
class PathGuard {
  /** In the order they have to be made: each after its parent. */
  readonly directories = new Set<string>();
  readonly #files = new Set<string>();
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  /** Takes a file's path and returns the directories to make for it. */
  add(path: string): string[] {
    const reason = nameRefusal(path);
    if (reason !== undefined) throw this.#refused(path, reason);
    if (this.#files.has(path)) throw this.#refused(path, 'is delivered twice');
    if (this.directories.has(path)) throw this.#refused(path, 'is a file and a directory');
    this.#files.add(path);
    const added: string[] = [];
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const directory = path.slice(0, end);
      if (this.#files.has(directory)) throw this.#refused(directory, 'is a file and a directory');
      if (this.directories.has(directory)) continue;
      this.directories.add(directory);
      added.push(directory);
    }
    return added;
  }

  #refused(path: string, reason: string): RinglockError {
    return refused('refused-path', `${this.#what}: ${JSON.stringify(path)} ${reason}`, {
      hint: 'Nothing was installed. Such a module cannot have been locked: check that source.',
    });
  }
}

/** Runs a bounded number of writes, of bounded size, at once and keeps the first failure. */
class WritePool {
  readonly #limit: number;
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts a write, having waited for a free place; after a large one, waits for it too. */
  async add(bytes: number, write: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit) await Promise.race(this.#running);
    this.#throwFailure();
    this.#bytes += bytes;
    const running: Promise<void> = write()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(running);
        this.#bytes -= bytes;
      });
    this.#running.add(running);
    while (this.#bytes > waitingBytes) await Promise.race(this.#running);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Waits for all; throws the first failure. */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
