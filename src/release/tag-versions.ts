import { badInput, type RinglockError, refused } from '../errors.ts';
import { openDigestCache } from '../git/digest-cache.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { deployRefsOf } from '../git/hooks/platform-at.ts';
import { digestModule } from '../git/module-digest.ts';
import { isObjectMissing, withObjects } from '../git/object-batch.ts';
import { type ModuleSnapshot, readPlatform } from '../git/platform-snapshot.ts';
import { type Released, readReleased } from '../git/released-bytes.ts';
import { requireModule } from '../git/ring-selection.ts';
import { commitTree } from '../git/tree-snapshot.ts';
import { commitOf } from './split-history.ts';

export interface TagRequest {
  /** Empty: every module. */
  readonly aliases: readonly string[];
  readonly push: boolean;
  readonly remote: string;
  readonly dryRun: boolean;
}

/** What came of one module's tag. */
export interface TagResult {
  /** `orders@1.0.0`. */
  readonly tag: string;
  readonly state: 'new' | 'exists' | 'refused';
  /** The commit that it points to, or would. */
  readonly commit: string;
  /** Whether the remote did not have it yet; false without `push`. */
  readonly isNewAtRemote: boolean;
  readonly error: RinglockError | undefined;
}

/**
 * Tags the committed version of modules in this repository: at the commit whose lock first pinned these
 * bytes, so that every machine makes the same tag, else at HEAD. A tag that exists never moves.
 *
 * @throws RinglockError `unknown-module`, `git-failed`, and what readPlatform() throws
 */
export async function tagVersions(
  repository: GitRepository,
  request: TagRequest,
): Promise<TagResult[]> {
  const head = await commitOf(repository, 'HEAD');
  const snapshot = await readPlatform(repository, await commitTree(repository, head));
  const modules =
    request.aliases.length === 0
      ? [...snapshot.modules.values()]
      : [...new Set(request.aliases.map((alias) => requireModule(snapshot, alias)))];
  const asked = modules.map(({ alias, path, manifest: { version } }) => ({ alias, path, version }));
  const run: TagRun = {
    ...{ repository, head },
    maxFiles: snapshot.settings.maxFiles,
    released: await readReleased(repository, await deployRefsOf(repository, snapshot), asked),
    local: parseTags(
      await runGit(repository.topLevel, ['show-ref', '--tags', '-d']).catch(() => ''),
    ),
    remote: request.push ? await remoteTags(repository, request.remote) : undefined,
  };
  const results: TagResult[] = [];
  for (const module of modules) results.push(await decideTag(run, module));
  if (!request.dryRun) await writeTags(run, request, results);
  return results;
}

interface TagRun {
  readonly repository: GitRepository;
  readonly head: string;
  readonly maxFiles: number;
  readonly released: Released;
  /** Commit by tag. */
  readonly local: ReadonlyMap<string, string>;
  readonly remote: ReadonlyMap<string, string> | undefined;
}

async function remoteTags(
  { topLevel }: GitRepository,
  remote: string,
): Promise<ReadonlyMap<string, string>> {
  if (remote.startsWith('-')) {
    throw badInput('unknown-remote', `${remote} is no remote, expected a name as origin`);
  }
  const env = { GIT_TERMINAL_PROMPT: '0' };
  return parseTags(
    await runGit(topLevel, ['ls-remote', '--quiet', remote, 'refs/tags/*'], { env }),
  );
}

/** `<id> <ref>` lines; that of what an annotated tag points to comes after the tag's own. */
function parseTags(listed: string): Map<string, string> {
  const tags = new Map<string, string>();
  for (const [, oid = '', name = ''] of listed.matchAll(/^([0-9a-f]+)\s+refs\/tags\/(.+)$/gm)) {
    tags.set(name.replace(/\^\{\}$/, ''), oid);
  }
  return tags;
}

async function decideTag(run: TagRun, module: ModuleSnapshot): Promise<TagResult> {
  const { alias, manifest } = module;
  const tag = `${alias}@${manifest.version}`;
  const released = run.released.get(alias)?.get(manifest.version);
  const [local, remote] = [run.local.get(tag), run.remote?.get(tag)];
  const isNewAtRemote = run.remote !== undefined && remote === undefined;
  const refusal = (commit: string, error: RinglockError): TagResult => ({
    ...{ tag, commit, error },
    state: 'refused',
    isNewAtRemote: false,
  });
  if (local !== undefined && remote !== undefined && local !== remote) {
    return refusal(local, differs(tag, 'the remote', remote, local));
  }
  const existing = local ?? remote;
  if (existing !== undefined) {
    if ((await digestAt(run, existing, module)) !== module.sha256) {
      return refusal(existing, differs(tag, 'it', existing, run.head));
    }
    return {
      tag,
      state: local === undefined ? 'new' : 'exists',
      commit: existing,
      isNewAtRemote,
      error: undefined,
    };
  }
  if (released !== undefined && released.sha256 !== module.sha256) {
    return refusal(released.commit, releasedOtherwise(tag, released.commit, run.head));
  }
  const isThere =
    released !== undefined && (await digestAt(run, released.commit, module)) === module.sha256;
  const commit = isThere ? released.commit : run.head;
  return { tag, state: 'new', commit, isNewAtRemote, error: undefined };
}

/** The module's digest in a commit; undefined when it, or the commit, is not there. */
async function digestAt(
  { repository, maxFiles }: TagRun,
  commit: string,
  { path, alias }: ModuleSnapshot,
): Promise<string | undefined> {
  const found = await tryGit(repository.topLevel, [
    'rev-parse',
    '--verify',
    '--quiet',
    `${commit}:${path}`,
  ]);
  if (found.status !== 0) return undefined;
  const tree = found.stdout.toString().trim();
  const known = (await openDigestCache(repository)).get(tree);
  try {
    const digest =
      known ??
      (await withObjects(repository, (objects) => digestModule(objects, tree, path, maxFiles)));
    const named = JSON.parse(digest?.manifest ?? '{}') as { alias?: string };
    return named.alias === alias ? digest?.sha256 : undefined;
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}

async function writeTags(
  { repository, local }: TagRun,
  { push, remote }: TagRequest,
  results: readonly TagResult[],
): Promise<void> {
  const { topLevel } = repository;
  const made = results.filter(({ tag, state }) => state === 'new' && !local.has(tag));
  const input = made.map(({ tag, commit }) => `create refs/tags/${tag} ${commit}\n`).join('');
  if (input !== '') await runGit(topLevel, ['update-ref', '--stdin'], { input });
  const pushed = results.filter(({ isNewAtRemote }) => isNewAtRemote);
  if (!push || pushed.length === 0) return;
  const refs = pushed.map(({ tag }) => `refs/tags/${tag}:refs/tags/${tag}`);
  const env = { GIT_TERMINAL_PROMPT: '0' };
  await runGit(topLevel, ['push', '--quiet', '--atomic', remote, ...refs], { env });
}

function differs(tag: string, what: string, existing: string, other: string): RinglockError {
  return refused(
    'tag-exists',
    `${tag}: ${what} is at ${existing}, not at ${other} and its bytes, and a tag never moves`,
    {
      hint: 'Give the module a new version: ringlock bump.',
      details: { tag, existing, expected: other },
    },
  );
}

function releasedOtherwise(tag: string, commit: string, head: string): RinglockError {
  return refused(
    'version-released',
    `${tag} was released by ${commit} with other bytes than ${head}`,
    {
      hint: 'Give the module a new version: ringlock bump.',
      details: { tag, existing: commit, expected: head },
    },
  );
}
