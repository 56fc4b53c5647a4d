import { createHash } from 'node:crypto';
import { chmod, lstat, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { badInput } from '../errors.ts';
import { isAlias } from '../repo/names.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent, isUnreadable } from './disk-error.ts';
import { type StoreContext, versionsPath } from './layout.ts';
import { digestTree, makeDirectory, readOnlyDirectory } from './module-tree.ts';
import { retireDirectory } from './staging.ts';

/** The exact bytes of a module. */
export interface VersionPin {
  readonly alias: string;
  readonly version: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
}

/** A directory of the version store; `name` is below `versions/<alias>/`. */
export interface StoredVersion {
  readonly alias: string;
  readonly name: string;
}

/**
 * `<root>/versions/`: complete, immutable module directories. Beside each `<name>` stands
 * `<name>.sha256`, its file list in the form of sha256sum(1), whose own sha256 is the content digest;
 * it is there before the directory is, so a directory without one is not of the store. A directory
 * found changed gets `<name>.damaged` and is never used again; the same bytes then go into
 * `<name>.r2`, since a process may still have the old path open.
 */
export class VersionStore {
  readonly #context: StoreContext;
  /** Directories whose content was digested since this process started. */
  readonly #verified = new Set<string>();

  constructor(context: StoreContext) {
    this.#context = context;
  }

  pathOf({ alias, name }: StoredVersion): string {
    return join(versionsPath(this.#context.root), alias, name);
  }

  /** The directory to use for a pin, by its recorded digest and without reading its files. */
  async find(pin: VersionPin): Promise<StoredVersion | undefined> {
    for (const stored of await this.candidates(pin)) {
      if (await this.isUsable(stored, pin)) return stored;
    }
    return undefined;
  }

  /** As find(), having digested the files once in this process; what differs is marked damaged. */
  async findVerified(pin: VersionPin): Promise<StoredVersion | undefined> {
    for (const stored of await this.candidates(pin)) {
      if (!(await this.isUsable(stored, pin))) continue;
      if (this.#verified.has(this.pathOf(stored))) return stored;
      if ((await this.findDamage(stored, pin)) === undefined) return stored;
    }
    return undefined;
  }

  /** Whether a directory is there, recorded with exactly this digest and not known to be damaged. */
  async isUsable(stored: StoredVersion, pin: VersionPin): Promise<boolean> {
    const path = this.pathOf(stored);
    if (!(await isDirectory(path)) || (await exists(`${path}.damaged`))) return false;
    const list = await this.#readFileList(stored);
    return list !== undefined && digestOfFileList(list) === pin.sha256;
  }

  /** Whether a name is one that a pin's directory can have, there or not. */
  isNamedFor({ alias, name }: StoredVersion, pin: VersionPin): boolean {
    return alias === pin.alias && isNamedAs(name, baseName(pin));
  }

  /** Every directory that was made for a pin, newest first, usable or not. */
  async candidates(pin: VersionPin): Promise<StoredVersion[]> {
    const base = baseName(pin);
    const names = await readNames(join(versionsPath(this.#context.root), pin.alias));
    return names
      .filter((name) => isNamedAs(name, base))
      .sort((a, b) => restaging(b) - restaging(a))
      .map((name) => ({ alias: pin.alias, name }));
  }

  /**
   * Digests the files and says what differs from the pin, in words; marks the directory damaged if
   * anything does.
   */
  async findDamage(stored: StoredVersion, pin: VersionPin): Promise<string | undefined> {
    const path = this.pathOf(stored);
    const difference = await this.compareTree(path, stored, pin);
    if (difference === undefined) this.#verified.add(path);
    else await this.markDamaged(stored, difference);
    return difference;
  }

  /** What differs between a directory and the pin, in words; undefined when nothing does. */
  async compareTree(
    path: string,
    stored: StoredVersion | undefined,
    pin: VersionPin,
  ): Promise<string | undefined> {
    const found = await digestTree(path).catch(unreadableTree);
    if (typeof found === 'string') return found;
    if (found.digest === pin.sha256 && found.others.length === 0) return undefined;
    const list = stored && (await this.#readFileList(stored));
    const isTrusted = list !== undefined && digestOfFileList(list) === pin.sha256;
    const wanted = isTrusted ? parseFileList(list) : undefined;
    return describeDifference(found, wanted);
  }

  async markDamaged(stored: StoredVersion, reason: string): Promise<void> {
    const path = this.pathOf(stored);
    this.#verified.delete(path);
    const mark = { at: this.#context.now().toISOString(), reason };
    await writeFileAtomically(`${path}.damaged`, `${JSON.stringify(mark)}\n`, {
      mode: 0o644,
      fault: this.#context.fault,
    });
  }

  /** When a directory was found damaged, or undefined. */
  async damagedAt(stored: StoredVersion): Promise<Date | undefined> {
    try {
      const mark = JSON.parse(await readFile(`${this.pathOf(stored)}.damaged`, 'utf8'));
      return new Date((mark as { at: string }).at);
    } catch (error) {
      return isAbsent(error) ? undefined : new Date(0);
    }
  }

  /** A name for a pin that nothing has, and the record of its files written there. */
  async reserve(pin: VersionPin, fileList: string): Promise<StoredVersion> {
    const directory = join(versionsPath(this.#context.root), pin.alias);
    await makeDirectory(directory);
    for (let count = 1; ; count++) {
      const name = count === 1 ? baseName(pin) : `${baseName(pin)}.r${count}`;
      const path = join(directory, name);
      if ((await exists(path)) || this.#reserved.has(path)) continue;
      this.#reserved.add(path);
      await rm(`${path}.damaged`, { force: true });
      await writeFileAtomically(`${path}.sha256`, fileList, {
        mode: 0o444,
        fault: this.#context.fault,
      });
      return { alias: pin.alias, name };
    }
  }

  readonly #reserved = new Set<string>();

  /** Says that a reserved directory is now there (its files digested on the way), or will never be. */
  settle(stored: StoredVersion, isThere: boolean): void {
    const path = this.pathOf(stored);
    this.#reserved.delete(path);
    if (isThere) this.#verified.add(path);
  }

  /** Every directory of the store, and the pin it was made for where its record can be read. */
  async list(): Promise<{ stored: StoredVersion; pin: VersionPin | undefined }[]> {
    const found: { stored: StoredVersion; pin: VersionPin | undefined }[] = [];
    for (const alias of await readNames(versionsPath(this.#context.root))) {
      if (!isAlias(alias)) continue;
      for (const name of await readNames(join(versionsPath(this.#context.root), alias))) {
        const version = namePattern.exec(name)?.[1];
        if (version === undefined) continue;
        const list = await this.#readFileList({ alias, name });
        const sha256 = list === undefined ? undefined : digestOfFileList(list);
        const pin = sha256 === undefined ? undefined : { alias, version, sha256 };
        found.push({ stored: { alias, name }, pin });
      }
    }
    return found;
  }

  async remove(stored: StoredVersion): Promise<void> {
    const path = this.pathOf(stored);
    this.#verified.delete(path);
    await retireDirectory(this.#context, path);
    await this.#context.fault('remove the record of a version');
    await rm(`${path}.sha256`, { force: true });
    await rm(`${path}.damaged`, { force: true });
    await rmdir(join(path, '..')).catch(() => {}); // Other versions keep it.
  }

  /** Removes records whose directory never came or is gone, and finishes modes after a crash. */
  async tidy(): Promise<void> {
    const root = versionsPath(this.#context.root);
    for (const alias of await readNames(root)) {
      if (!isAlias(alias)) continue;
      const directory = join(root, alias);
      const names = await readNames(directory);
      for (const name of names) {
        const base = name.replace(/\.(sha256|damaged)$/, '');
        const isOwn = base !== name && namePattern.test(base);
        const isUnfinished = /^\..+\.(sha256|damaged)\.[0-9a-f]{12}\.tmp$/.test(name);
        if (isUnfinished || (isOwn && !names.includes(base))) {
          await rm(join(directory, name), { force: true });
        } else if (namePattern.test(name) && (await isDirectory(join(directory, name)))) {
          await chmod(join(directory, name), readOnlyDirectory);
        }
      }
      await rmdir(directory).catch(() => {}); // Only an empty one goes.
    }
  }

  async #readFileList({ alias, name }: StoredVersion): Promise<string | undefined> {
    try {
      return await readFile(
        join(versionsPath(this.#context.root), alias, `${name}.sha256`),
        'utf8',
      );
    } catch (error) {
      if (isAbsent(error) || isUnreadable(error)) return undefined;
      throw diskFailed(error, name);
    }
  }
}

/** `<version>-<12 hex>`, and `.r<n>` when it was staged again. */
const namePattern = /^([0-9A-Za-z.-]+)-[0-9a-f]{12}(?:\.r\d+)?$/;

/** @throws RinglockError `invalid-pin` for what must not become a path */
function baseName({ alias, version, sha256 }: VersionPin): string {
  const hex = /^sha256:([0-9a-f]{12})[0-9a-f]{52}$/.exec(sha256)?.[1];
  if (!isAlias(alias) || !/^\d[0-9A-Za-z.-]{0,127}$/.test(version) || hex === undefined) {
    throw badInput(
      'invalid-pin',
      `${JSON.stringify({ alias, version, sha256 })} pins no module, expected an alias, a semantic version and sha256:<64 hex digits>`,
    );
  }
  return `${version}-${hex}`;
}

function isNamedAs(name: string, base: string): boolean {
  return name === base || (name.startsWith(`${base}.r`) && namePattern.test(name));
}

/** 1 for the first directory of a pin, 2 for `.r2`. */
function restaging(name: string): number {
  return Number(/\.r(\d+)$/.exec(name)?.[1] ?? 1);
}

function digestOfFileList(list: string): string {
  return `sha256:${createHash('sha256').update(list).digest('hex')}`;
}

function parseFileList(list: string): Map<string, string> {
  const lines = list.split('\n').slice(0, -1);
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}

/** What cannot be read is damage: the same bytes are staged again beside it. */
function unreadableTree(error: unknown): string {
  if (!isUnreadable(error) && !isAbsent(error)) throw error;
  return `it cannot be read: ${(error as Error).message}`;
}

function describeDifference(
  found: {
    readonly files: readonly { readonly path: string; readonly sha256: string }[];
    readonly others: readonly string[];
  },
  wanted: ReadonlyMap<string, string> | undefined,
): string {
  const strange = found.others.map((path) => `${path} is no regular file`);
  if (wanted === undefined) return ['its content differs', ...strange].join(', ');
  const there = new Map(found.files.map(({ path, sha256 }) => [path, sha256]));
  const words = [
    ...[...there].flatMap(([path, sha256]) => {
      const expected = wanted.get(path);
      return expected === undefined
        ? `${path} was added`
        : expected === sha256
          ? []
          : `${path} was changed`;
    }),
    ...[...wanted.keys()].flatMap((path) => (there.has(path) ? [] : `${path} was deleted`)),
    ...strange,
  ].sort();
  const more = words.length > 5 ? [`and ${words.length - 5} more`] : [];
  return [...words.slice(0, 5), ...more].join(', ');
}

async function readNames(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw diskFailed(error, path);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

async function isDirectory(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isDirectory() ?? false;
}
