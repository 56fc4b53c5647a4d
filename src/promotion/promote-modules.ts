import { badInput, RinglockError } from '../errors.ts';
import { comparePins } from '../git/compare-modules.ts';
import { findDeployRefs } from '../git/deploy-branch.ts';
import { type GitRepository, tryGit } from '../git/git-command.ts';
import { readManifestFiles, requireLock, requireRing } from '../git/manifest-files.ts';
import type { OpenPackages, PackageSource } from '../git/package-source.ts';
import type { LockEntry } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import { type PinJudgement, refuseClosedGates } from '../repo/pin-judgement.ts';
import type { Promotion } from '../repo/promotion.ts';
import { promotionMessage } from '../repo/promotion-message.ts';
import type { Ring } from '../repo/ring.ts';
import { decidePromotion, findWanted } from './decide-promotion.ts';
import { type GatedPin, type GateSources, judgePins } from './judge-pins.ts';

/** What a person asks to promote, in the work tree. */
export interface PromotionWish {
  readonly from: string;
  readonly to: string;
  /** `orders`, or `orders@1.0.1` for a version that the source had before; undefined: all that differs. */
  readonly modules: readonly string[] | undefined;
  readonly withDependencies: boolean;
  readonly allowDowngrade: boolean;
  readonly movePlatform: boolean;
  readonly reason: string | undefined;
  /** Why closed gates are to be gone over. */
  readonly override: string | undefined;
}

/** A promotion that was decided and that the gates let through; nothing is written yet. */
export interface ProposedPromotion extends Promotion {
  readonly ring: Ring;
  /** The target's lock, from the repository's top. */
  readonly file: string;
  readonly judgements: readonly PinJudgement[];
  /** Those of them whose gates are closed and gone over. */
  readonly overridden: readonly PinJudgement[];
  /** Steps up that the target's database would see, by alias. */
  readonly migrations: ReadonlyMap<string, readonly string[]>;
  /** For the commit. */
  readonly message: string;
}

/**
 * Decides a promotion in the work tree, and asks the gates of the target.
 *
 * @throws RinglockError `unknown-ring`, `no-lock`, what decidePromotion() and refuseClosedGates() throw
 */
export async function proposePromotion(
  repository: GitRepository,
  wish: PromotionWish,
  sources: GateSources,
  openPackages: OpenPackages,
): Promise<ProposedPromotion> {
  const files = await readManifestFiles(repository);
  requireRing(files, wish.from);
  const toRing = requireRing(files, wish.to);
  const from = requireLock(files, wish.from).lock;
  const { lock: to, text: toText } = requireLock(files, wish.to);
  const packages = openPackages({ settings: files.settings });
  const wanted =
    wish.modules === undefined ? undefined : await findWanted(repository, from, wish.modules);
  const promotion = await decidePromotion(
    { ...wish, ...{ from, to, toText, toRing, wanted } },
    { repository, maxFiles: files.settings.maxFiles, packages },
  );
  const judgements = await judgePins(
    repository,
    {
      ...{ ring: toRing, source: from.modules, pins: gatedPins(promotion), historyOf: 'HEAD' },
      ...(await approvalPlaces(repository, toRing)),
    },
    sources,
  );
  const { override } = wish;
  requireReason(override);
  const overridden = refuseClosedGates(wish.to, judgements, {
    reason: override,
    isAllowed: toRing.gates.isOverridable,
  });
  const proposal = {
    ...promotion,
    ...{ ring: toRing, file: lockFile(wish.to), judgements, overridden },
    migrations: await newMigrations(repository, wish.to, promotion.changes, packages),
  };
  const used = overridden.length === 0 ? undefined : override;
  return {
    ...proposal,
    message: promotionMessage({ ...wish, ...proposal, promotion, override: used }),
  };
}

/** What the gates are asked about: each entry, and the platform. */
function gatedPins({ changes, platform }: Promotion): GatedPin[] {
  return [
    ...changes.map(({ alias, after }): GatedPin => ({ kind: 'pin', alias, after })),
    ...(platform === undefined ? [] : [{ kind: 'platform', platform: platform.to } as const]),
  ];
}

/** Steps up that come with a change, by alias; those of what cannot be read are not known. */
export async function newMigrations(
  repository: GitRepository,
  ring: string,
  changes: Promotion['changes'],
  packages: PackageSource,
): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const change of changes) {
    const up = await migrationsOf(repository, ring, change, packages);
    if (up.length > 0) found.set(change.alias, up);
  }
  return found;
}

async function migrationsOf(
  repository: GitRepository,
  ring: string,
  change: {
    readonly alias: string;
    readonly before: LockEntry | undefined;
    readonly after: LockEntry;
  },
  packages: PackageSource,
): Promise<readonly string[]> {
  try {
    const differences = await comparePins(repository, ring, [change], packages);
    return differences.get(change.alias)?.migrations.up ?? [];
  } catch (error) {
    // What the target has may be gone from here; that hinders nobody from going on from it.
    if (!(error instanceof RinglockError) || change.before === undefined) throw error;
    return migrationsOf(repository, ring, { ...change, before: undefined }, packages);
  }
}

function requireReason(override: string | undefined): void {
  if (override === undefined || override.trim() !== '') return;
  throw badInput('empty-reason', '--override is empty, expected why the gates are gone over');
}

/** Where commits that approve may be, here and on the ring's branch as its remote has it, and who promotes. */
async function approvalPlaces(
  repository: GitRepository,
  { branch, gates }: Ring,
): Promise<{ readonly approvedIn: readonly string[]; readonly authors: readonly string[] }> {
  if (gates.approvals === 0) return { approvedIn: [], authors: [] };
  const refs = await findDeployRefs(repository, [branch]);
  const authors = await authorHere(repository);
  return { approvedIn: ['HEAD', ...refs.map(({ oid }) => oid)], authors };
}

/** The address that a commit made here would have; empty where git knows none. */
export async function authorHere({ topLevel }: GitRepository): Promise<string[]> {
  const { status, stdout } = await tryGit(topLevel, ['var', 'GIT_AUTHOR_IDENT']);
  const [, email] = /<([^<>]*)> \d+ [+-]\d{4}/.exec(stdout.toString()) ?? [];
  return status === 0 && email !== undefined ? [email] : [];
}
