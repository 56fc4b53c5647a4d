import * as fs from 'node:fs';
import git from 'isomorphic-git';
import { environmentFailed } from '../errors.ts';
import { commitsBetween, generationsOf, isAncestor } from './ancestry.ts';
import { branchNotFound } from './branches.ts';
import {
  gitlinkMode,
  missingOf,
  requireComplete,
  treeMode,
  type WantedObjects,
} from './completeness.ts';
import { type LocalRepository, openLocalRepository } from './local-repository.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { FetchStats, FetchTreesOptions, TaggedRemote } from './remote.ts';
import { commitOfTag } from './tag.ts';
import { writePack } from './write-pack.ts';

/** A repository on this machine: what is needed is copied into the database, as one pack. */
export function openLocalRemote(path: string, database: ObjectDatabase): TaggedRemote {
  return new LocalRemote(path, database);
}

class LocalRemote implements TaggedRemote {
  readonly url: string;
  readonly #database: ObjectDatabase;

  constructor(path: string, database: ObjectDatabase) {
    this.url = path;
    this.#database = database;
  }

  async resolveBranch(branch: string): Promise<string> {
    const { gitdir } = await openLocalRepository(this.url, this.#database.limits);
    try {
      return await git.resolveRef({ fs, gitdir, ref: `refs/heads/${branch}` });
    } catch {
      const branches = await git.listBranches({ fs, gitdir });
      const tags = await git.listTags({ fs, gitdir });
      const names = [
        ...branches.map((name) => `refs/heads/${name}`),
        ...tags.map((name) => `refs/tags/${name}`),
      ];
      throw branchNotFound(branch, this.url, names);
    }
  }

  async fetchCommits(tip: string, have: string | undefined, depth = 1): Promise<FetchStats> {
    if (depth === 1 && (await this.#database.has(tip))) {
      if (have === undefined || (await isAncestor(this.#database, have, tip))) return nothing;
    }
    return this.#copy({ trees: [], single: [tip] }, async ({ objects }) => {
      if (have === undefined || have === tip || !(await objects.has(have))) {
        return generationsOf(objects, tip, depth);
      }
      // A tip that is older than what we have is between nothing, and yet asked for.
      return [...new Set([tip, ...(await commitsBetween(objects, have, tip))])];
    });
  }

  async fetchTrees(oids: readonly string[], options: FetchTreesOptions = {}): Promise<FetchStats> {
    const { shallow = false, blobs = [] } = options;
    const missing = await missingOf(this.#database, {
      trees: shallow ? [] : oids,
      single: shallow ? [...oids, ...blobs] : blobs,
    });
    if (missing.trees.length + missing.single.length === 0) return nothing;
    return this.#copy(missing, async (repository) => {
      const found = new Set(missing.single);
      for (const tree of missing.trees) await this.#collectBelow(repository, tree, found);
      return [...found];
    });
  }

  async fetchTag(tag: string): Promise<string | undefined> {
    const { gitdir, objects } = await openLocalRepository(this.url, this.#database.limits);
    const oid = await git
      .resolveRef({ fs, gitdir, ref: `refs/tags/${tag}` })
      .catch(() => undefined);
    if (oid === undefined) return undefined;
    const commit = await commitOfTag(objects, oid, this.url);
    if (commit !== undefined) await this.fetchCommits(commit, undefined);
    return commit;
  }

  async close(): Promise<void> {}

  async #copy(
    wanted: WantedObjects,
    select: (repository: LocalRepository) => Promise<readonly string[]>,
  ): Promise<FetchStats> {
    const repository = await openLocalRepository(this.url, this.#database.limits);
    const present = await missingOf(repository.objects, { trees: [], single: wanted.single });
    const [absent] = present.single;
    if (absent !== undefined) throw this.#lacks(absent);
    const oids = await select(repository);
    const pack = writePack(oids, (oid) => repository.objects.readRaw(oid));
    const objects = await this.#database.importPack(pack, (view) =>
      requireComplete(view, wanted, this.url),
    );
    return { ...nothing, objects };
  }

  async #collectBelow(repository: LocalRepository, top: string, found: Set<string>): Promise<void> {
    const trees = [top];
    for (let tree = trees.pop(); tree !== undefined; tree = trees.pop()) {
      if (found.has(tree)) continue;
      if (!(await repository.objects.has(tree))) throw this.#lacks(tree);
      found.add(tree);
      for (const { mode, oid } of await repository.objects.readTree(tree)) {
        if (mode === treeMode) trees.push(oid);
        else if (mode !== gitlinkMode && !found.has(oid) && !(await this.#database.has(oid))) {
          found.add(oid);
        }
      }
    }
  }

  #lacks(oid: string): Error {
    return environmentFailed('remote-lacks-object', `${this.url} does not have ${oid}`);
  }
}

const nothing: FetchStats = { bytes: 0, requests: 0, objects: 0 };
