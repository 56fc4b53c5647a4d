import { environmentFailed, RinglockError } from '../errors.ts';
import { historyEnds, isAncestor } from './ancestry.ts';
import { branchNotFound, branchPrefix } from './branches.ts';
import {
  firstMissingBelow,
  missingOf,
  requireComplete,
  type WantedObjects,
} from './completeness.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { ObjectReader } from './object-store.ts';
import { openUploadPack } from './open-upload-pack.ts';
import type { FetchStats, FetchTreesOptions, TaggedRemote } from './remote.ts';
import { commitOfTag } from './tag.ts';
import type { Transport } from './transport.ts';
import type { FetchRequest, FetchResponse, UploadPack } from './upload-pack.ts';

/**
 * A repository behind smart HTTP or SSH. With filters and wants of any object (protocol v2 as forges have it)
 * exactly what is asked for comes; a server without them sends whole commits, once, and then what
 * changed since.
 */
export function openSmartRemote(transport: Transport, database: ObjectDatabase): TaggedRemote {
  return new SmartRemote(transport, database);
}

class SmartRemote implements TaggedRemote {
  readonly url: string;
  readonly #transport: Transport;
  readonly #database: ObjectDatabase;
  #server: Promise<UploadPack> | undefined;

  constructor(transport: Transport, database: ObjectDatabase) {
    this.url = transport.display;
    this.#transport = transport;
    this.#database = database;
  }

  async resolveBranch(branch: string): Promise<string> {
    const name = `${branchPrefix}${branch}`;
    return this.#ask(async (server) => {
      const refs = await server.listRefs([name]);
      const found = refs.find((ref) => ref.name === name);
      if (found !== undefined) return found.oid;
      const all = await server.listRefs([branchPrefix, `refs/tags/${branch}`]);
      throw branchNotFound(
        branch,
        this.url,
        all.map((ref) => ref.name),
      );
    });
  }

  fetchCommits(tip: string, have: string | undefined, depth = 1): Promise<FetchStats> {
    return this.#counted(async (server) => {
      if (depth === 1 && (await this.#hasHistory(tip, have))) return 0;
      return handsOutExactly(server)
        ? this.#fetchBareCommits(server, tip, have, depth)
        : this.#fetchWholeCommits(server, tip, have, depth);
    });
  }

  fetchTrees(oids: readonly string[], options: FetchTreesOptions = {}): Promise<FetchStats> {
    return this.#counted(async (server) => {
      const { shallow = false, blobs = [], have = [] } = options;
      const missing = await missingOf(this.#database, {
        trees: shallow ? [] : oids,
        single: shallow ? [...oids, ...blobs] : blobs,
      });
      const wants = [...missing.trees, ...missing.single];
      if (wants.length === 0) return 0;
      if (!server.capabilities.anyObject) return this.#fetchWholeHistory(server, missing);
      const incomplete = new Set(
        (await missingOf(this.#database, { trees: have, single: [] })).trees,
      );
      const response = await server.fetch({
        wants,
        haves: have.filter((oid) => !incomplete.has(oid)),
        done: true,
        ...(shallow && server.capabilities.filter && { filter: 'tree:0' }),
      });
      return this.#import(response, missing);
    });
  }

  fetchTag(tag: string): Promise<string | undefined> {
    const name = `refs/tags/${tag}`;
    return this.#ask(async (server) => {
      const oid = (await server.listRefs([name])).find((ref) => ref.name === name)?.oid;
      if (oid === undefined) return undefined;
      const known = await commitOfTag(this.#database, oid, this.url);
      if (known !== undefined) return known;
      const filter = handsOutExactly(server) ? { filter: 'tree:0' } : {};
      const response = await server.fetch({ wants: [oid], depth: 1, done: true, ...filter });
      await this.#import(response, { trees: [], single: [oid] });
      return commitOfTag(this.#database, oid, this.url);
    });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** Whether there is nothing to fetch: the tip is here, and the way from `have` to it. */
  async #hasHistory(tip: string, have: string | undefined): Promise<boolean> {
    if (!(await this.#database.has(tip))) return false;
    return have === undefined || (await isAncestor(this.#database, have, tip));
  }

  /** Commits only. The haves come first, so that a server that forgot ours sends no whole history. */
  async #fetchBareCommits(
    server: UploadPack,
    tip: string,
    have: string | undefined,
    depth: number,
  ): Promise<number> {
    const request = { wants: [tip], filter: 'tree:0' };
    // Asking for the commits since the tip itself would bring none, not even the tip.
    if (have !== undefined && have !== tip) {
      try {
        const response = await this.#negotiate(server, { ...request, haves: [have] });
        if (response !== undefined) return await this.#importCommits(response, tip);
      } catch (error) {
        // The tip is older than what we have, so the server took it that we have it too.
        if (!lacksObject(error)) throw error;
      }
    }
    return this.#importCommits(await server.fetch({ ...request, depth, done: true }), tip);
  }

  /** @returns undefined when the server does not know any of the haves */
  async #negotiate(
    server: UploadPack,
    request: Omit<FetchRequest, 'done'>,
  ): Promise<FetchResponse | undefined> {
    const first = await server.fetch({ ...request, done: false });
    if (first.pack !== undefined) return first;
    if (first.acknowledged.length === 0) return undefined;
    // Known, yet not enough by itself: another line of history, or clocks that ran backwards.
    return server.fetch({ ...request, done: true });
  }

  /** Commits with all their files, for servers that cannot leave them out. */
  async #fetchWholeCommits(
    server: UploadPack,
    tip: string,
    have: string | undefined,
    depth: number,
  ): Promise<number> {
    // To say that we have a commit is to say that we have its files, and those of its ancestors.
    if (have !== undefined && have !== tip && (await this.#hasWholeCommit(have))) {
      const shallow = await historyEnds(this.#database, have);
      const request = { wants: [tip], haves: [have], shallow, done: true };
      try {
        return await this.#importCommits(await server.fetch(request), tip, 'whole');
      } catch (error) {
        // We have less than we said, since other files came with other requests: ask without haves.
        if (!lacksObject(error)) throw error;
      }
    }
    const tipOnly = await server.fetch({ wants: [tip], depth, done: true });
    const objects = await this.#importCommits(tipOnly, tip, 'whole');
    if (have === undefined || (await isAncestor(this.#database, have, tip))) return objects;
    return objects + (await this.#fetchWholeHistory(server, { trees: [], single: [tip] }));
  }

  async #hasWholeCommit(oid: string): Promise<boolean> {
    if (!(await this.#database.has(oid))) return false;
    const { tree } = await this.#database.readCommit(oid);
    return (await firstMissingBelow(this.#database, tree)) === undefined;
  }

  /** The last resort, where nothing but branches is handed out: every branch with all its history. */
  async #fetchWholeHistory(server: UploadPack, needed: WantedObjects): Promise<number> {
    const refs = await server.listRefs([branchPrefix]);
    const branches = refs.filter(({ name }) => name.startsWith(branchPrefix));
    const wants = [...new Set(branches.map(({ oid }) => oid))];
    const response = await server.fetch({ wants, done: true });
    try {
      return await this.#import(response, needed);
    } catch (error) {
      if (!lacksObject(error)) throw error;
      throw environmentFailed('remote-lacks-object', `no branch has it: ${error.message}`, {
        hint: 'The server hands out branches only: let it speak git protocol version 2.',
      });
    }
  }

  async #importCommits(
    response: FetchResponse,
    tip: string,
    extent: 'bare' | 'whole' = 'bare',
  ): Promise<number> {
    return this.#import(response, { trees: [], single: [tip] }, async (view) => {
      const { tree } = await view.readCommit(tip);
      if (extent === 'whole') await requireComplete(view, { trees: [tree], single: [] }, this.url);
    });
  }

  async #import(
    response: FetchResponse,
    wanted: WantedObjects,
    verify?: (view: ObjectReader) => Promise<void>,
  ): Promise<number> {
    if (response.pack === undefined) {
      throw environmentFailed('fetch-incomplete', `${this.url} sent no pack`);
    }
    return this.#database.importPack(response.pack, async (view) => {
      await requireComplete(view, wanted, this.url);
      await verify?.(view);
    });
  }

  async #counted(fetch: (server: UploadPack) => Promise<number>): Promise<FetchStats> {
    const { traffic } = this.#transport;
    const before = { ...traffic };
    const objects = await this.#ask(fetch);
    return {
      bytes: traffic.bytes - before.bytes,
      requests: traffic.requests - before.requests,
      objects,
    };
  }

  /** What the server can do is asked once, and again after a failure: it may have been changed. */
  async #ask<Result>(action: (server: UploadPack) => Promise<Result>): Promise<Result> {
    this.#server ??= openUploadPack(this.#transport);
    const server = this.#server;
    try {
      return await action(await server);
    } catch (error) {
      const expected = error instanceof RinglockError && error.code === 'branch-not-found';
      if (!expected && this.#server === server) this.#server = undefined;
      throw error;
    }
  }
}

/** Whether commits come without trees, and trees without commits. */
function handsOutExactly({ capabilities }: UploadPack): boolean {
  return capabilities.filter && capabilities.anyObject;
}

function lacksObject(error: unknown): error is RinglockError {
  return error instanceof RinglockError && error.code === 'pack-lacks-object';
}
