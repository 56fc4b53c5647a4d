import pLimit from 'p-limit';
import { readSecret } from '../environment.ts';
import { badInput, RinglockError, refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { digestModules } from '../git/module-digest.ts';
import { withObjects } from '../git/object-batch.ts';
import { type Released, readReleased } from '../git/released-bytes.ts';
import { settingsFile } from '../repo/names.ts';
import type { Settings } from '../repo/settings.ts';
import { type CommittedModule, readCommittedModules, selectModules } from './committed-modules.ts';
import { openGitTrust } from './git-trust.ts';
import {
  type MirrorAddress,
  mirrorEnvironment,
  mirrorKey,
  parseMirrorAddress,
} from './mirror-address.ts';
import { decideMirror, type MirrorState } from './mirror-decision.ts';
import {
  fetchMirrorCommit,
  listMirrorRefs,
  type MirrorAccess,
  type MirrorPush,
  pushToMirror,
} from './mirror-refs.ts';
import { passedVersions } from './passed-versions.ts';
import { type Mainline, provePush, readMainline } from './push-proof.ts';
import { commitOf, type Split, splitHistory } from './split-history.ts';

export interface MirrorRequest {
  readonly aliases: readonly string[];
  readonly all: boolean;
  readonly changed: boolean;
  /** With `changed`: since when; undefined for what the pipeline says, else the commit before. */
  readonly since: string | undefined;
  readonly dryRun: boolean;
  /** The mirrors' branch; undefined for the name of the one that is checked out. */
  readonly branch: string | undefined;
  /** Mirrors that are pushed to at once. */
  readonly parallel: number;
}

/** What came of one module's mirror. */
export interface MirrorResult {
  readonly alias: string;
  readonly version: string;
  /** Undefined for a module without a mirror. */
  readonly mirror: string | undefined;
  readonly state: 'pushed' | 'would-push' | 'up-to-date' | 'no-mirror' | 'refused' | 'failed';
  readonly branch: string;
  /** The split's last commit. */
  readonly commit: string | undefined;
  /** Where the mirror's branch was. */
  readonly former: string | undefined;
  /** How the branch goes there; undefined where nothing is pushed. */
  readonly how: 'new' | 'forward' | 'forced' | 'kept' | undefined;
  /** The tags that are new: of the version, and of those that were released since the last push. */
  readonly tags: readonly string[];
  readonly error: RinglockError | undefined;
}

/**
 * Pushes each module's split to its mirror, and tags a version that is new there. One mirror that fails
 * stops no other.
 *
 * @throws RinglockError `nothing-to-mirror`, `unknown-branch`, `unknown-module`, and what splitHistory()
 *   throws; what concerns one module stands in its result
 */
export async function mirrorModules(
  repository: GitRepository,
  request: MirrorRequest,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<MirrorResult[]> {
  requireSelection(request);
  const tip = await commitOf(repository, 'HEAD');
  const branch = await mirrorBranch(repository, request.branch, environment);
  const { settings, modules } = await readCommittedModules(repository, tip);
  const since = request.changed ? await changedSince(repository, request, environment) : undefined;
  const selected = selectModules(modules, request.aliases);
  const paths = selected.map(({ path }) => path);
  const splits = await splitHistory(repository, paths, { tip, since });
  const wanted = selected.filter((_, place) => {
    const split = splits[place];
    return since === undefined || split?.commit === undefined || split.commit !== split.before;
  });
  const mainline = await readMainline(
    repository,
    tip,
    wanted.map(({ path }) => path),
  );
  const token = await readSecret('MIRROR_PUSH_TOKEN', environment);
  const owners = mirrorOwners(modules, settings, environment);
  const released = await readReleased(repository, [
    { branch, ref: 'HEAD', oid: tip, isRemote: false },
  ]);
  const trust = await openGitTrust(repository, environment);
  const run: MirrorRun = {
    ...{ repository, branch, settings, environment, dryRun: request.dryRun },
    ...{ token, mainline, owners, released, trust: trust.variables },
    splits: new Map(splits.map((split) => [split.directory, split])),
  };
  const limit = pLimit(Math.max(1, request.parallel));
  try {
    return await Promise.all(wanted.map((module) => limit(() => mirrorModule(run, module))));
  } finally {
    await trust.close();
  }
}

interface MirrorRun {
  readonly repository: GitRepository;
  readonly branch: string;
  readonly settings: Settings;
  readonly environment: NodeJS.ProcessEnv;
  readonly dryRun: boolean;
  readonly token: string | undefined;
  readonly mainline: Mainline;
  readonly splits: ReadonlyMap<string, Split>;
  /** Aliases by mirror. */
  readonly owners: ReadonlyMap<string, readonly string[]>;
  /** For git's environment: what it trusts. */
  readonly trust: Readonly<Record<string, string>>;
  /** What the locks of this history released. */
  readonly released: Released;
}

function requireSelection({ aliases, all, changed }: MirrorRequest): void {
  if ([aliases.length > 0, all, changed].filter(Boolean).length === 1) return;
  throw badInput(
    'nothing-to-mirror',
    'expected modules, or --all, or --changed: one of the three',
    { hint: 'ringlock mirror --all --dry-run shows what would be pushed.' },
  );
}

/** @throws RinglockError `unknown-branch`, `invalid-branch` */
async function mirrorBranch(
  repository: GitRepository,
  given: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const branch = given ?? (await presentBranch(repository, environment));
  const args = ['check-ref-format', `refs/heads/${branch}`];
  if ((await tryGit(repository.topLevel, args)).status === 0) return branch;
  throw badInput('invalid-branch', `${JSON.stringify(branch)} is no name for a branch`);
}

/** The branch that is checked out; a pipeline checks out a commit alone, and says its branch. */
async function presentBranch(
  { topLevel }: GitRepository,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const head = await tryGit(topLevel, ['symbolic-ref', '--quiet', '--short', 'HEAD']);
  if (head.status === 0) return head.stdout.toString().trim();
  const { CI_COMMIT_BRANCH, GITHUB_REF_NAME, GITHUB_REF_TYPE } = environment;
  const said = CI_COMMIT_BRANCH || (GITHUB_REF_TYPE === 'branch' ? GITHUB_REF_NAME : '');
  if (said) return said;
  throw badInput(
    'unknown-branch',
    'HEAD is on no branch, and neither CI_COMMIT_BRANCH nor GITHUB_REF_NAME says which one is mirrored',
    { hint: "Give --branch, the mirrors' branch to push to." },
  );
}

async function changedSince(
  repository: GitRepository,
  { since }: MirrorRequest,
  { CI_COMMIT_BEFORE_SHA }: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  if (since !== undefined) return commitOf(repository, since);
  // Zeros for a new branch, and in pipelines that no push has started: what was mirrored is not known.
  if (/^0+$/.test(CI_COMMIT_BEFORE_SHA ?? '')) return undefined;
  // A force-push leaves a commit behind that this clone does not have: then everything is looked at.
  return commitOf(repository, CI_COMMIT_BEFORE_SHA || 'HEAD^1').catch(() => undefined);
}

function addressOf(
  { alias, path, manifest }: CommittedModule,
  { mirrors }: Settings,
  environment: NodeJS.ProcessEnv,
): MirrorAddress | undefined {
  const listed = mirrors.get(alias);
  const text = listed ?? manifest.repository;
  const file = listed === undefined ? `${path}/module.json` : `${settingsFile} (mirrors.${alias})`;
  return text === undefined ? undefined : parseMirrorAddress(text, file, environment);
}

function mirrorOwners(
  modules: readonly CommittedModule[],
  settings: Settings,
  environment: NodeJS.ProcessEnv,
): Map<string, string[]> {
  const owners = new Map<string, string[]>();
  for (const module of modules) {
    try {
      const address = addressOf(module, settings, environment);
      if (address === undefined) continue;
      const key = mirrorKey(address);
      owners.set(key, [...(owners.get(key) ?? []), module.alias]);
    } catch (error) {
      // Said for that module, when it is its turn.
      if (!(error instanceof RinglockError)) throw error;
    }
  }
  return owners;
}

async function mirrorModule(run: MirrorRun, module: CommittedModule): Promise<MirrorResult> {
  const split = run.splits.get(module.path);
  const blank: MirrorResult = {
    alias: module.alias,
    version: module.manifest.version,
    mirror: undefined,
    state: 'no-mirror',
    branch: run.branch,
    commit: split?.commit,
    former: undefined,
    how: undefined,
    tags: [],
    error: undefined,
  };
  let mirror: string | undefined;
  try {
    const address = addressOf(module, run.settings, run.environment);
    if (address === undefined) return blank;
    mirror = address.url;
    return { ...blank, mirror, ...(await pushModule(run, module, address)) };
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    return { ...blank, mirror, state: error.exitCode === 3 ? 'failed' : 'refused', error };
  }
}

async function pushModule(
  run: MirrorRun,
  module: CommittedModule,
  address: MirrorAddress,
): Promise<Pick<MirrorResult, 'state' | 'former' | 'how' | 'tags'>> {
  const { repository, token, branch } = run;
  const { commit, refusal } = run.splits.get(module.path) ?? {};
  if (commit === undefined) throw refusal ?? notSplit(module);
  refuseSharedMirror(run, address);
  const pushed = await provePush(repository, run.mainline, module.path, commit);
  const env = mirrorEnvironment(address, token, run.environment, run.trust);
  const access: MirrorAccess = { repository, address, env, hasToken: token !== undefined };
  const refs = await listMirrorRefs(access);
  const ref = `refs/heads/${branch}`;
  const tag = `v${module.manifest.version}`;
  const tagged = refs.get(`refs/tags/${tag}`);
  const former = refs.get(ref);
  const found: MirrorState = {
    ...{ commit, former, tagged },
    relation: await relationOf(access, ref, former, commit, pushed),
    isTaggedAlike:
      tagged === commit || (tagged !== undefined && (await isAlike(run, module, tagged, pushed))),
  };
  const decision = decideMirror(found);
  if (decision.kind === 'nothing') {
    return { state: 'up-to-date', former, how: undefined, tags: [] };
  }
  if (decision.kind === 'refused') throw decisionRefusal(decision.reason, found, address, ref, tag);
  if (decision.tag) await requireReleasedBytes(run, module);
  const tags = new Map(decision.tag ? [[tag, commit]] : []);
  if (decision.branch === 'forward' && former !== undefined) {
    const released = run.released.get(module.alias) ?? new Map();
    for (const [version, oid] of await passedVersions(repository, released, former, commit)) {
      const isThere = refs.has(`refs/tags/v${version}`) || tags.has(`v${version}`);
      if (!isThere && pushed.has(oid)) tags.set(`v${version}`, oid);
    }
  }
  const pushes: MirrorPush[] = [...tags].map(([name, oid]) => ({
    ...{ ref: `refs/tags/${name}`, commit: oid },
    former: undefined,
  }));
  if (decision.branch !== 'kept') pushes.push({ ref, commit, former });
  if (!run.dryRun) await pushToMirror(access, pushes);
  const state = run.dryRun ? 'would-push' : 'pushed';
  return { state, former, how: decision.branch, tags: [...tags.keys()].sort() };
}

/**
 * A tag never moves, and pods may have the version from it: other bytes must not come first.
 *
 * @throws RinglockError `version-released`
 */
async function requireReleasedBytes(
  { repository, settings: { maxFiles }, released }: MirrorRun,
  { alias, path, tree, manifest: { version } }: CommittedModule,
): Promise<void> {
  const expected = released.get(alias)?.get(version)?.sha256;
  if (expected === undefined) return;
  const [ours] = await withObjects(repository, (objects) =>
    digestModules(repository, objects, [{ path, tree }], maxFiles),
  );
  if (ours?.sha256 === expected) return;
  throw refused(
    'version-released',
    `${alias} ${version} was released with other bytes than this commit has`,
    {
      hint: `Give the module a new version: ringlock bump ${alias}.`,
      details: { released: expected, found: ours?.sha256 ?? null },
    },
  );
}

/** How the commit of the mirror's branch stands to the split's. */
async function relationOf(
  access: MirrorAccess,
  ref: string,
  former: string | undefined,
  commit: string,
  pushed: ReadonlySet<string>,
): Promise<MirrorState['relation']> {
  if (former === undefined) return undefined;
  if (former === commit) return 'same';
  if (pushed.has(former)) return 'behind';
  const { topLevel } = access.repository;
  const isHere = await tryGit(topLevel, ['cat-file', '-e', `${former}^{commit}`]);
  if (isHere.status !== 0) await fetchMirrorCommit(access, ref);
  const isAncestor = await tryGit(topLevel, ['merge-base', '--is-ancestor', commit, former]);
  return isAncestor.status === 0 ? 'ahead' : 'diverged';
}

/** Whether a tagged commit of the split has the bytes that this version is distributed with. */
async function isAlike(
  { repository, settings: { maxFiles } }: MirrorRun,
  { path, tree }: CommittedModule,
  tagged: string,
  pushed: ReadonlySet<string>,
): Promise<boolean> {
  if (!pushed.has(tagged)) return false;
  const other = await runGit(repository.topLevel, ['rev-parse', `${tagged}^{tree}`]);
  if (other === tree) return true;
  const trees = [tree, other].map((each) => ({ path, tree: each }));
  const [ours, theirs] = await withObjects(repository, (objects) =>
    digestModules(repository, objects, trees, maxFiles),
  );
  return ours !== undefined && ours.sha256 === theirs?.sha256;
}

function refuseSharedMirror({ owners }: MirrorRun, address: MirrorAddress): void {
  const aliases = owners.get(mirrorKey(address)) ?? [];
  if (aliases.length < 2) return;
  throw refused(
    'shared-mirror',
    `${aliases.join(' and ')} have the same mirror ${address.url}, and would overwrite each other`,
    { hint: `Give each its own: repository in module.json, or mirrors in ${settingsFile}.` },
  );
}

function decisionRefusal(
  reason: 'tag-exists' | 'mirror-ahead',
  { tagged, commit, former }: MirrorState,
  { url }: MirrorAddress,
  ref: string,
  tag: string,
): RinglockError {
  if (reason === 'mirror-ahead') {
    return refused(
      'mirror-ahead',
      `${url} is ahead: its ${ref} is at ${former}, which continues ${commit}`,
      { hint: 'A newer commit was mirrored already: pull, and nothing is to be done.' },
    );
  }
  return refused(
    'tag-exists',
    `${url} has ${tag} at ${tagged} with other bytes than ${commit}, and a tag never moves`,
    {
      hint: 'Give the module a new version: ringlock bump.',
      details: { tag, existing: tagged, expected: commit },
    },
  );
}

function notSplit({ alias }: CommittedModule): RinglockError {
  return refused('not-split', `${alias} has no history of its own`);
}
