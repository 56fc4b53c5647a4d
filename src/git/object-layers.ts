import * as fs from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import git from 'isomorphic-git';
import { environmentFailed } from '../errors.ts';
import type { Commit, ObjectReader, TreeEntry } from './object-store.ts';
import { PackIndex } from './pack-index.ts';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

export interface RawObject {
  readonly type: ObjectType;
  readonly content: Uint8Array;
}

/**
 * Reads objects from one git directory after another, through isomorphic-git. What each has is known
 * from its pack indexes, as refresh() last found them: isomorphic-git can only tell by reading.
 */
export class ObjectLayers implements ObjectReader {
  readonly #layers: Layer[];

  private constructor(layers: Layer[]) {
    this.#layers = layers;
  }

  /** @param gitdirs directories with an `objects` folder, searched in this order */
  static async open(gitdirs: readonly string[]): Promise<ObjectLayers> {
    const layers = new ObjectLayers(gitdirs.map((gitdir) => new Layer(gitdir)));
    await layers.refresh();
    return layers;
  }

  /** The same layers behind another one. */
  async behind(gitdir: string): Promise<ObjectLayers> {
    const front = new Layer(gitdir);
    await front.refresh();
    return new ObjectLayers([front, ...this.#layers]);
  }

  /** Looks again which packs there are. */
  async refresh(): Promise<void> {
    for (const layer of this.#layers) await layer.refresh();
  }

  /** Lets go of every pack read into memory. */
  dropCaches(): void {
    for (const layer of this.#layers) layer.cache = {};
  }

  async has(oid: string): Promise<boolean> {
    for (const layer of this.#layers) if (await layer.has(oid)) return true;
    return false;
  }

  readCommit(oid: string): Promise<Commit> {
    return this.#read(oid, async ({ gitdir, cache }) => {
      const { commit } = await git.readCommit({ fs, gitdir, cache, oid });
      const { tree, parent, author, committer, message } = commit;
      return { oid, tree, parents: parent, author, committer, message };
    });
  }

  readTree(oid: string): Promise<readonly TreeEntry[]> {
    return this.#read(oid, async ({ gitdir, cache }) => {
      const { tree } = await git.readTree({ fs, gitdir, cache, oid });
      return tree.map(({ path, mode, oid }) => ({ path, mode, oid }));
    });
  }

  readBlob(oid: string): Promise<Uint8Array> {
    return this.#read(oid, async ({ gitdir, cache }) => {
      const { blob } = await git.readBlob({ fs, gitdir, cache, oid });
      return blob;
    });
  }

  readRaw(oid: string): Promise<RawObject> {
    return this.#read(oid, async ({ gitdir, cache }) => {
      const found = await git.readObject({ fs, gitdir, cache, oid, format: 'content' });
      return { type: found.type as ObjectType, content: found.object as Uint8Array };
    });
  }

  async #read<Result>(oid: string, read: (layer: Layer) => Promise<Result>): Promise<Result> {
    for (const layer of this.#layers) {
      if (!(await layer.has(oid))) continue;
      try {
        return await read(layer);
      } catch (error) {
        throw environmentFailed(
          'object-broken',
          `object ${oid} of ${layer.gitdir} cannot be read: ${(error as Error).message}`,
          { cause: error },
        );
      }
    }
    throw objectMissing(oid, this.#layers.at(-1)?.gitdir ?? 'nowhere');
  }
}

function objectMissing(oid: string, gitdir: string): Error {
  return environmentFailed('object-missing', `object ${oid} is not in ${gitdir}`, {
    details: { oid },
  });
}

class Layer {
  readonly gitdir: string;
  /** isomorphic-git's: packs and indexes by file name. */
  cache: object = {};
  #indexes = new Map<string, PackIndex>();

  constructor(gitdir: string) {
    this.gitdir = gitdir;
  }

  async refresh(): Promise<void> {
    const directory = join(this.gitdir, 'objects/pack');
    const names = await readdir(directory).catch(() => [] as string[]);
    const indexes = new Map<string, PackIndex>();
    for (const name of names) {
      if (!name.endsWith('.idx')) continue;
      const known = this.#indexes.get(name);
      indexes.set(name, known ?? (await PackIndex.read(join(directory, name))));
    }
    this.#indexes = indexes;
  }

  async has(oid: string): Promise<boolean> {
    for (const index of this.#indexes.values()) if (index.has(oid)) return true;
    const loose = join(this.gitdir, 'objects', oid.slice(0, 2), oid.slice(2));
    return stat(loose).then(
      () => true,
      () => false,
    );
  }
}
