import type { ReleasedVersions } from '../repo/bump-rules.ts';
import { isAlias } from '../repo/names.ts';
import type { DeployRef } from './deploy-branch.ts';
import { openDigestCache } from './digest-cache.ts';
import { type GitRepository, runGit } from './git-command.ts';
import { digestModule } from './module-digest.ts';
import { isObjectMissing, withObjects } from './object-batch.ts';
import { readReleasedCache, writeReleasedCache } from './released-cache.ts';
import { emptyWalk, type ReleasedBytes, type ReleaseWalk, walkLocks } from './released-walk.ts';

/** Alias → version → its released bytes; undefined for a tag whose bytes were not asked for. */
export type Released = ReadonlyMap<string, ReadonlyMap<string, ReleasedBytes | undefined>>;

/** A module whose version may have been released by a tag alone. */
export interface AskedModule {
  readonly alias: string;
  readonly version: string;
  /** From the repository's top. */
  readonly path: string;
}

/**
 * The released bytes of every version (DESIGN section 4): the digest it last had in a lock on the
 * first-parent history of a deploy branch, else in a tag `<alias>@<version>`. The walk is kept in
 * `<git directory>/ringlock/` by tip, so that only new commits are read; the file may be deleted.
 *
 * @param asked whose tags are digested; of other tags only the version is known
 */
export async function readReleased(
  repository: GitRepository,
  deployRefs: readonly DeployRef[],
  asked: readonly AskedModule[] = [],
): Promise<Released> {
  const [cached, tags] = await Promise.all([
    readReleasedCache(repository),
    releaseTags(repository),
  ]);
  const walks = new Map(cached);
  for (const { ref, oid } of deployRefs) {
    const before = cached.get(ref);
    if (before?.tip === oid) continue;
    walks.set(ref, await walk(repository, oid, before));
  }
  if (deployRefs.some(({ ref }) => walks.get(ref) !== cached.get(ref))) {
    await writeReleasedCache(repository, walks);
  }
  const released = new Map<string, Map<string, ReleasedBytes | undefined>>();
  for (const { ref } of deployRefs) {
    for (const [alias, versions] of walks.get(ref)?.versions ?? []) {
      released.set(alias, new Map([...versions, ...(released.get(alias) ?? [])]));
    }
  }
  await addTags(repository, released, tags, asked);
  return released;
}

/** Only the digests, as the bump rules want them. */
export function releasedDigests(released: Released): ReleasedVersions {
  return new Map(
    [...released].map(([alias, versions]) => [
      alias,
      new Map([...versions].map(([version, bytes]) => [version, bytes?.sha256])),
    ]),
  );
}

/** From where the last walk ended, if the new tip's first-parent history still leads there. */
async function walk(
  repository: GitRepository,
  tip: string,
  before: ReleaseWalk | undefined,
): Promise<ReleaseWalk> {
  if (before !== undefined && (await isFirstParentAncestor(repository, before.tip, tip))) {
    return walkLocks(repository, tip, before);
  }
  return walkLocks(repository, tip, emptyWalk);
}

async function isFirstParentAncestor(
  repository: GitRepository,
  ancestor: string,
  tip: string,
): Promise<boolean> {
  try {
    const range = ['--first-parent', '--parents', '--reverse', `${ancestor}..${tip}`];
    const listed = await runGit(repository.topLevel, ['rev-list', ...range]);
    return listed.split('\n', 1)[0]?.split(' ')[1] === ancestor;
  } catch {
    // The former tip was collected after a rewrite.
    return false;
  }
}

async function releaseTags({ topLevel }: GitRepository): Promise<string[]> {
  const format = '--format=%(refname:strip=2)';
  const listed = await runGit(topLevel, ['for-each-ref', format, 'refs/tags/*@*']);
  return listed.split('\n').filter(Boolean);
}

async function addTags(
  repository: GitRepository,
  released: Map<string, Map<string, ReleasedBytes | undefined>>,
  tags: readonly string[],
  asked: readonly AskedModule[],
): Promise<void> {
  const unread: { module: AskedModule; tag: string }[] = [];
  for (const tag of tags) {
    const [alias = '', version = ''] = tag.split('@');
    const versions = released.get(alias) ?? new Map<string, ReleasedBytes | undefined>();
    if (!isAlias(alias) || versions.has(version)) continue;
    released.set(alias, versions.set(version, undefined));
    const module = asked.find((one) => one.alias === alias && one.version === version);
    if (module !== undefined) unread.push({ module, tag });
  }
  if (unread.length === 0) return;
  for (const { module, tag } of unread) {
    const bytes = await taggedBytes(repository, tag, module);
    released.get(module.alias)?.set(module.version, bytes);
  }
}

/** What a tag's commit has at the module's path; undefined when the module is not there. */
async function taggedBytes(
  repository: GitRepository,
  tag: string,
  { alias, path }: AskedModule,
): Promise<ReleasedBytes | undefined> {
  const [commit = '', tree = ''] = (
    await runGit(repository.topLevel, [
      'rev-parse',
      `refs/tags/${tag}^{commit}`,
      `refs/tags/${tag}:${path}`,
    ]).catch(() => '')
  ).split('\n');
  if (tree === '') return undefined;
  const cache = await openDigestCache(repository);
  try {
    const digest =
      cache.get(tree) ??
      (await withObjects(repository, (objects) => digestModule(objects, tree, path, Infinity)));
    if (digest === undefined) return undefined;
    cache.set(tree, digest);
    await cache.save();
    const { alias: found } = JSON.parse(digest.manifest) as { alias?: string };
    return found === alias ? { sha256: digest.sha256, tree, commit, path } : undefined;
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}
