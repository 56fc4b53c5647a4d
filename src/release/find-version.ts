import { basename } from 'node:path';
import semver from 'semver';
import { badInput, refused } from '../errors.ts';
import { type DeployRef, findDeployRefs } from '../git/deploy-branch.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import type { ObjectBatch } from '../git/object-batch.ts';
import { type Released, readReleased } from '../git/released-bytes.ts';
import type { ReleasedBytes } from '../git/released-walk.ts';
import { modulePath } from '../git/tree-history.ts';
import { isAlias } from '../repo/names.ts';
import { type ModuleAt, modulesAt, ringBranchesAt } from './platform-at.ts';

/** A module's tree, and the commit that it is packaged from. */
export interface FoundVersion extends ModuleAt {
  readonly commit: string;
  /** The content digest that it was released with; undefined for one that was not yet. */
  readonly released: string | undefined;
}

/**
 * Finds what `orders`, `Orders`, `orders@1.4.1` or `orders@<revision>` means. A version is looked for
 * where it was released (a lock on a deploy branch, a tag `<alias>@<version>`), then at the tips of all
 * branches; without one, HEAD's is meant.
 *
 * @throws RinglockError `unknown-module`, `unknown-revision`, `version-not-found`, `version-ambiguous`,
 *   `tag-mismatch`
 */
export async function findVersion(
  repository: GitRepository,
  objects: ObjectBatch,
  wanted: string,
): Promise<FoundVersion> {
  const [name = '', rest] = splitWanted(wanted);
  const head = await modulesAt(objects, 'HEAD');
  const alias = aliasOf(name, head);
  const deployRefs = await findDeployRefs(repository, await ringBranchesAt(objects, 'HEAD'));
  const search = { repository, objects, alias, deployRefs };
  if (rest !== undefined && semver.valid(rest) === rest) return findByVersion(search, rest);
  return findAtRevision(search, rest ?? 'HEAD');
}

interface Search {
  readonly repository: GitRepository;
  readonly objects: ObjectBatch;
  readonly alias: string;
  readonly deployRefs: readonly DeployRef[];
}

function splitWanted(wanted: string): [string, string | undefined] {
  const at = wanted.indexOf('@');
  return at === -1 ? [wanted, undefined] : [wanted.slice(0, at), wanted.slice(at + 1)];
}

/** A directory's name is taken too, where HEAD has it. */
function aliasOf(name: string, modules: readonly ModuleAt[]): string {
  const byDirectory = modules.find(({ path }) => basename(path) === name);
  if (byDirectory !== undefined) return byDirectory.alias;
  if (isAlias(name)) return name;
  throw badInput('unknown-module', `${JSON.stringify(name)} is no module of this repository`, {
    hint: `Modules at HEAD: ${modules.map(({ alias }) => alias).join(', ') || 'none'}.`,
  });
}

async function findAtRevision(search: Search, revision: string): Promise<FoundVersion> {
  const { repository, objects, alias, deployRefs } = search;
  const commit = await commitOf(repository, `${revision}^{commit}`);
  if (commit === undefined) {
    throw badInput('unknown-revision', `${revision} is neither a version nor a commit`, {
      hint: `Give ${alias}@1.2.3, or a branch, tag or commit that was fetched.`,
    });
  }
  const module = (await modulesAt(objects, commit)).find((one) => one.alias === alias);
  if (module === undefined) {
    throw badInput('unknown-module', `${alias} is no module of ${revision} (${commit})`, {
      hint: `To package an earlier version, name it: ringlock package ${alias}@<version>`,
    });
  }
  const released = await readReleased(repository, deployRefs, [module]);
  return { ...module, commit, released: released.get(alias)?.get(module.version)?.sha256 };
}

async function findByVersion(search: Search, version: string): Promise<FoundVersion> {
  const { repository, alias, deployRefs } = search;
  const released = await readReleased(repository, deployRefs);
  const bytes = released.get(alias)?.get(version);
  const tagged = await findTagged(search, version);
  if (bytes !== undefined) return locateLocked(search, version, bytes, tagged);
  return tagged ?? (await findAtTips(search, version, released));
}

/** @returns undefined when there is no tag */
async function findTagged(search: Search, version: string): Promise<FoundVersion | undefined> {
  const { repository, objects, alias } = search;
  const tag = `${alias}@${version}`;
  const commit = await commitOf(repository, `refs/tags/${tag}^{commit}`);
  if (commit === undefined) return undefined;
  const module = (await modulesAt(objects, commit)).find((one) => one.alias === alias);
  if (module?.version === version) return { ...module, commit, released: undefined };
  throw refused(
    'tag-mismatch',
    `the tag ${tag} is at ${commit}, which has ${module ? `${alias} ${module.version}` : `no ${alias}`}`,
    { hint: 'A tag <alias>@<version> belongs to a commit that has this version.' },
  );
}

/**
 * The tree is the lock's; the commit is one that has it: the lock's own, else the tag's (a hotfix is
 * pinned by a branch that never had it).
 */
async function locateLocked(
  { repository, objects, alias }: Search,
  version: string,
  { commit, path: lockPath, tree, sha256 }: ReleasedBytes,
  tagged: FoundVersion | undefined,
): Promise<FoundVersion> {
  if (tree === null) {
    const module = (await modulesAt(objects, commit)).find((one) => one.alias === alias);
    if (module?.version === version) return { ...module, commit, released: sha256 };
    if (tagged !== undefined) return { ...tagged, released: sha256 };
    throw refused(
      'version-not-found',
      `${lockPath} of ${commit} pins ${alias} ${version} without a git tree, and modules/ has another version there`,
      { hint: `Tag the commit that has it: git tag ${alias}@${version} <commit>` },
    );
  }
  const path = await lockedPath(objects, commit, lockPath, alias);
  const hasIt = (await commitOf(repository, `${commit}:${path}`)) === tree;
  const from = hasIt || tagged?.tree !== tree ? commit : tagged.commit;
  return { alias, version, path, tree, commit: from, released: sha256 };
}

async function lockedPath(
  objects: ObjectBatch,
  commit: string,
  lockPath: string,
  alias: string,
): Promise<string> {
  const text = (await objects.readBlob(`${commit}:${lockPath}`)).toString();
  const { modules } = JSON.parse(text) as { modules: Record<string, { directory?: string }> };
  return modulePath(modules[alias]?.directory ?? alias);
}

/** What was never released is taken from a branch's tip, as long as all that have it agree. */
async function findAtTips(
  { repository, objects, alias }: Search,
  version: string,
  released: Released,
): Promise<FoundVersion> {
  const found = new Map<string, FoundVersion & { readonly refs: string[] }>();
  const others = new Set<string>();
  for (const { ref, commit } of await branchTips(repository)) {
    const module = (await modulesAt(objects, commit)).find((one) => one.alias === alias);
    if (module !== undefined) others.add(module.version);
    if (module?.version !== version) continue;
    const known = found.get(module.tree);
    if (known === undefined) {
      found.set(module.tree, { ...module, commit, released: undefined, refs: [ref] });
    } else known.refs.push(ref);
  }
  const [first, second] = [...found.values()];
  if (first === undefined) {
    for (const known of released.get(alias)?.keys() ?? []) others.add(known);
    throw versionNotFound(alias, version, [...others]);
  }
  if (second === undefined) return first;
  throw refused(
    'version-ambiguous',
    `${alias} ${version} has different files on ${[...found.values()].map(({ refs }) => refs[0]).join(' and ')}, and was not released yet`,
    { hint: `Say which: ringlock package ${alias}@<branch or commit>` },
  );
}

function versionNotFound(alias: string, version: string, versions: readonly string[]): Error {
  const there = semver.sort(versions.filter((one) => semver.valid(one) !== null));
  return refused('version-not-found', `${alias} has no version ${version} in this repository`, {
    hint:
      there.length === 0
        ? 'No branch, tag or lock has any version of it. If it is on a server: git fetch --all --tags.'
        : `Versions here: ${there.join(', ')}. If it is on a server: git fetch --all --tags.`,
    details: { versions: there },
  });
}

/** In the order of their names; HEAD, which may be on none of them, is last. */
async function branchTips(
  repository: GitRepository,
): Promise<{ readonly ref: string; readonly commit: string }[]> {
  const listed = await runGit(repository.topLevel, [
    'for-each-ref',
    '--format=%(refname) %(objectname)',
    'refs/heads',
    'refs/remotes',
  ]);
  const tips = listed.split('\n').flatMap((line) => {
    const [ref = '', commit = ''] = line.split(' ');
    return commit === '' ? [] : [{ ref, commit }];
  });
  const head = await commitOf(repository, 'HEAD^{commit}');
  return head === undefined ? tips : [...tips, { ref: 'HEAD', commit: head }];
}

/** The id that a revision names; undefined when it names nothing. */
async function commitOf(
  { topLevel }: GitRepository,
  revision: string,
): Promise<string | undefined> {
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', revision];
  const { status, stdout } = await tryGit(topLevel, args);
  return status === 0 ? stdout.toString().trim() : undefined;
}
