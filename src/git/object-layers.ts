import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed, RinglockError, refused } from '../errors.ts';
import type { Limits } from '../repo/limits.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import { BaseCache } from './base-cache.ts';
import { directoryNames } from './directory-names.ts';
import { readLooseObject } from './loose-object.ts';
import type { Commit, ObjectReader, ObjectType, RawObject, TreeEntry } from './object-store.ts';
import { PackFile } from './pack-file.ts';
import { PackIndex } from './pack-index.ts';
import { parseCommit, parseTree } from './parse-object.ts';

/** Reads objects from one git directory after another. refresh() says which packs there are. */
export class ObjectLayers implements ObjectReader {
  readonly #layers: Layer[];
  readonly #limits: Limits;
  /** Objects that are there and could not be read, since the database was opened or mended. */
  readonly broken: Set<string>;

  private constructor(layers: Layer[], limits: Limits, broken = new Set<string>()) {
    this.#layers = layers;
    this.#limits = limits;
    this.broken = broken;
  }

  /** @param gitdirs directories with an `objects` folder, searched in this order */
  static async open(gitdirs: readonly string[], limits: Limits): Promise<ObjectLayers> {
    const layers = new ObjectLayers(
      gitdirs.map((gitdir) => new Layer(gitdir, limits)),
      limits,
    );
    await layers.refresh();
    return layers;
  }

  /** The same layers behind another one. */
  async behind(gitdir: string): Promise<ObjectLayers> {
    const front = new Layer(gitdir, this.#limits);
    await front.refresh();
    return new ObjectLayers([front, ...this.#layers], this.#limits, this.broken);
  }

  /** Looks again which packs there are. */
  async refresh(): Promise<void> {
    for (const layer of this.#layers) await layer.refresh();
  }

  /** Closes the front layer of what behind() returned; the others go on serving. */
  closeFront(): void {
    this.#layers[0]?.close();
  }

  /** Forgets what was read; also while something is being read. */
  dropCaches(): void {
    for (const layer of this.#layers) layer.forget();
  }

  async has(oid: string): Promise<boolean> {
    for (const layer of this.#layers) if (await layer.has(oid)) return true;
    return false;
  }

  async readCommit(oid: string): Promise<Commit> {
    return parseCommit(oid, await this.#readAs('commit', oid));
  }

  async readTree(oid: string): Promise<readonly TreeEntry[]> {
    return parseTree(oid, await this.#readAs('tree', oid));
  }

  readBlob(oid: string): Promise<Uint8Array> {
    return this.#readAs('blob', oid);
  }

  async readRaw(oid: string): Promise<RawObject> {
    for (const layer of this.#layers) {
      if (!(await layer.has(oid))) continue;
      try {
        return await layer.read(oid);
      } catch (error) {
        if (error instanceof RinglockError) throw error;
        this.broken.add(oid);
        throw environmentFailed(
          'object-broken',
          `object ${oid} of ${layer.gitdir} cannot be read: ${(error as Error).message}`,
          {
            hint: 'What is damaged below a root is fetched again; ringlock reconcile --repair checks all of it.',
            cause: error,
          },
        );
      }
    }
    throw environmentFailed(
      'object-missing',
      `object ${oid} is not in ${this.#layers.at(-1)?.gitdir}`,
      { details: { oid } },
    );
  }

  async #readAs(type: ObjectType, oid: string): Promise<Buffer> {
    const object = await this.readRaw(oid);
    if (object.type === type)
      return Buffer.from(
        object.content.buffer,
        object.content.byteOffset,
        object.content.byteLength,
      );
    throw refused('malformed-object', `object ${oid} is a ${object.type}, expected a ${type}`);
  }
}

class Layer {
  readonly gitdir: string;
  readonly #limits: Limits;
  readonly #bases = new BaseCache();
  #packs = new Map<string, PackFile>();

  constructor(gitdir: string, limits: Limits) {
    this.gitdir = gitdir;
    this.#limits = limits;
  }

  async refresh(): Promise<void> {
    const directory = join(this.gitdir, 'objects/pack');
    const names = await directoryNames(directory);
    const packs = new Map<string, PackFile>();
    for (const name of names) {
      if (!name.endsWith('.idx')) continue;
      const known = this.#packs.get(name);
      packs.set(name, known ?? (await openPack(join(directory, name), this.#limits, this.#bases)));
    }
    for (const [name, pack] of this.#packs) if (!packs.has(name)) pack.close();
    this.#packs = packs;
  }

  close(): void {
    for (const pack of this.#packs.values()) pack.close();
  }

  forget(): void {
    for (const pack of this.#packs.values()) pack.forget();
  }

  async has(oid: string): Promise<boolean> {
    for (const pack of this.#packs.values()) if (pack.has(oid)) return true;
    const file = this.#looseFile(oid);
    try {
      return (await stat(file)).isFile();
    } catch (error) {
      if (isAbsent(error)) return false;
      throw diskFailed(error, file);
    }
  }

  async read(oid: string): Promise<RawObject> {
    for (const pack of this.#packs.values()) if (pack.has(oid)) return pack.read(oid);
    return readLooseObject(this.#looseFile(oid), oid, this.#limits);
  }

  #looseFile(oid: string): string {
    return join(this.gitdir, 'objects', oid.slice(0, 2), oid.slice(2));
  }
}

async function openPack(indexFile: string, limits: Limits, bases: BaseCache): Promise<PackFile> {
  const index = await PackIndex.read(indexFile);
  return new PackFile(indexFile.replace(/idx$/, 'pack'), index, limits, bases);
}
