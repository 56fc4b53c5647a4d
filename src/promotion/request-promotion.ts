import { RinglockError } from '../errors.ts';
import { compareCommits } from '../git/compare-modules.ts';
import type { GitRepository } from '../git/git-command.ts';
import {
  type ManifestFiles,
  readManifestFiles,
  requireLock,
  requireRing,
} from '../git/manifest-files.ts';
import type { OpenPackages } from '../git/package-source.ts';
import { unknownModule } from '../git/ring-selection.ts';
import { openGitTrust } from '../release/git-trust.ts';
import { code, differenceMarkdown } from '../repo/difference-text.ts';
import { isAlias } from '../repo/names.ts';
import { passedLines } from '../repo/pin-judgement.ts';
import { stepBranch } from '../repo/request-text.ts';
import { remoteTags } from './approvals.ts';
import { aliasIn } from './decide-promotion.ts';
import type { GateSources } from './judge-pins.ts';
import { type RequestedChange, type RequestOutcome, requestMerge } from './merge-request.ts';
import { openRequests, type RequestAccess } from './open-requests.ts';
import { type PromotionWish, type ProposedPromotion, proposePromotion } from './promote-modules.ts';

export interface PromotionRequestOptions {
  /** The clone's remote that has the deploy branch. */
  readonly remote: string;
  readonly again: boolean;
  readonly dryRun: boolean;
}

/** What is asked for, as the tip of the deploy branch has it, and what became of the request. */
export interface RequestedPromotion {
  readonly proposal: ProposedPromotion;
  readonly outcome: RequestOutcome;
}

/**
 * Decides a promotion on the tips of the rings' deploy branches at the remote, and asks for it there. Of the
 * work tree only the settings and the names of those branches count.
 *
 * @throws RinglockError what proposePromotion(), openRequests() and requestMerge() throw
 */
export async function requestPromotion(
  repository: GitRepository,
  wish: PromotionWish,
  sources: GateSources,
  openPackages: OpenPackages,
  options: PromotionRequestOptions,
  signal: AbortSignal,
): Promise<RequestedPromotion> {
  const files = await readManifestFiles(repository);
  const { environment } = sources;
  const trust = await openGitTrust(repository, environment);
  try {
    const place = { remoteName: options.remote, environment, trust: trust.variables };
    const access = await openRequests(repository, files.settings, place);
    const asked = { repository, files, wish, sources, openPackages };
    return await requestThrough(access, asked, options, signal);
  } finally {
    await trust.close();
  }
}

interface AskedPromotion {
  readonly repository: GitRepository;
  readonly files: ManifestFiles;
  readonly wish: PromotionWish;
  readonly sources: GateSources;
  readonly openPackages: OpenPackages;
}

async function requestThrough(
  access: RequestAccess,
  { repository, files, wish, sources, openPackages }: AskedPromotion,
  { again, dryRun }: PromotionRequestOptions,
  signal: AbortSignal,
): Promise<RequestedPromotion> {
  const { branch: source } = requireRing(files, wish.from);
  const { branch: target } = requireRing(files, wish.to);
  const branch = stepBranch(wish.from, wish.to, stepModules(files, wish));
  let proposal: ProposedPromotion | undefined;
  const outcome = await requestMerge(
    access,
    {
      ...{ branch, target, source, again, dryRun },
      decide: async (tip, sourceTip) => {
        const tips = { target: tip, source: sourceTip, approvalTags: remoteTags };
        proposal = await proposePromotion(repository, wish, sources, openPackages, tips);
        const isChange = proposal.changes.length > 0 || proposal.platform !== undefined;
        const packages = openPackages({ settings: files.settings }, repository);
        const compare = (base: string, commit: string) =>
          compareCommits(repository, base, commit, wish.to, packages);
        return isChange ? changeOf(wish, proposal, compare) : undefined;
      },
    },
    signal,
  );
  if (proposal === undefined) throw new Error('the promotion was not decided');
  return { proposal, outcome };
}

/** What a step is named by: the modules without their versions, or the platform alone. */
function stepModules(files: ManifestFiles, { from, modules }: PromotionWish): readonly string[] {
  if (modules === undefined) return [];
  if (modules.length === 0) return ['_platform'];
  const { lock } = requireLock(files, from);
  return modules.map((name) => {
    const alias = aliasIn(lock, name.split('@', 1)[0] ?? '');
    if (!isAlias(alias)) throw unknownModule(name, [...lock.modules.keys()]);
    return alias;
  });
}

function changeOf(
  { from, to, reason, override }: PromotionWish,
  proposal: ProposedPromotion,
  compare: (base: string, commit: string) => ReturnType<typeof compareCommits>,
): RequestedChange {
  const { file, text, changes, platform, message } = proposal;
  const [title = ''] = message.split('\n', 1);
  return {
    ...{ path: file, text },
    pins: {
      ring: to,
      pins: changes.map(({ alias, after: { version, sha256 } }) => ({ alias, version, sha256 })),
      platform: platform?.to,
    },
    ...{ title, message },
    occasion: [
      ...changes.map(({ alias, before, after }) => `${alias} ${before?.sha256} ${after.sha256}`),
      ...[title, platform?.from, reason, override],
    ].join('\n'),
    describe: async (base, commit) => {
      const compared = await compareIfHere(() => compare(base, commit));
      const why = proposal.overridden.length === 0 ? undefined : override;
      return [
        ...(reason === undefined ? [] : [`Reason: ${code(reason)}`, '']),
        ...(why === undefined ? [] : [`**Closed gates are gone over**: ${code(why)}`, '']),
        ...(compared === undefined
          ? versionsMarkdown(`${code(from)} → ${code(to)}`, changes)
          : [differenceMarkdown(`${code(from)} → ${code(to)}`, compared.modules).trimEnd()]),
        ...(platform ? [`\n- platform ${code(`${platform.from} → ${platform.to}`)}`] : []),
        ...gatesMarkdown(proposal),
      ].join('\n');
    },
  };
}

/** Undefined where the clone is too shallow to have what the target ran so far. */
async function compareIfHere<T>(compare: () => Promise<T>): Promise<T | undefined> {
  try {
    return await compare();
  } catch (error) {
    if (error instanceof RinglockError && error.code === 'tree-missing') return undefined;
    throw error;
  }
}

function versionsMarkdown(title: string, changes: ProposedPromotion['changes']): string[] {
  return [
    ...[`### ${title}`, ''],
    ...changes.map(
      ({ alias, before, after }) =>
        `- ${code(alias)} ${code(before?.version ?? 'new')} → ${code(after.version)}`,
    ),
    ...['', 'What changes in them is not said: it was asked for from a shallow clone.'],
  ];
}

function gatesMarkdown({ judgements }: ProposedPromotion): string[] {
  const passed = judgements.flatMap((judgement) =>
    passedLines(judgement).map((line) => `- ${code(judgement.alias ?? 'platform')} ${code(line)}`),
  );
  return passed.length === 0 ? [] : ['', '#### Gates', '', ...passed];
}

/** A request in JSON. */
export function requestAnswer(outcome: RequestOutcome) {
  const { state, request, branch, target, commit, pushed } = outcome;
  const { number = null, reference = null, url = null, title = null, by } = request ?? {};
  const shown = { number, reference, url, title, by: by ?? null };
  return { state, ...shown, branch, target, commit: commit ?? null, pushed };
}

/** How a request stands, as a sentence. */
export function outcomeWords({ state, request, branch, target }: RequestOutcome): string {
  const which = request === undefined ? '' : `${request.reference} ${request.url}`;
  const by = request?.by === undefined ? '' : ` by ${request.by}`;
  switch (state) {
    case 'opened':
      return `opened ${which}`;
    case 'updated':
      return `brought up to date ${which}`;
    case 'same':
      return `open already, and the same: ${which}`;
    case 'merging':
      return `being merged just now: ${which}`;
    case 'merged':
      return `merged${by} and taken back since, not asked for again: ${which} (--again does)`;
    case 'closed':
      return `closed${by}, not asked for again: ${which} (--again does)`;
    case 'would-open':
      return `would push ${branch} and open a request to ${target}`;
    case 'would-update':
      return `would bring up to date ${which}`;
    case 'nothing':
      return request === undefined
        ? `${target} has it already; nothing is asked for`
        : `${target} has it already; nothing is left of ${which}: close it`;
  }
}
