import { RinglockError } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { type PinHistory, readLockHistory } from '../git/lock-history.ts';
import {
  readTrustedKeys,
  type SignerFiles,
  type TrustedKeys,
} from '../git/signatures/commit-verifier.ts';
import {
  freezeVerdicts,
  type GatedVersion,
  type GateFacts,
  judgeGates,
  type SourceFacts,
  type Unknown,
} from '../repo/gate-verdicts.ts';
import { hasGates } from '../repo/gates.ts';
import { type LockEntry, samePin } from '../repo/lock.ts';
import type { PinJudgement } from '../repo/pin-judgement.ts';
import type { Ring } from '../repo/ring.ts';
import { findSoaks } from '../repo/soak.ts';
import { findApprovals } from './approvals.ts';
import { askChecks } from './required-checks.ts';
import { type RingRecord, readRingRecord } from './ring-record.ts';

/** Where what gates ask for is learnt from. */
export interface GateSources {
  /** The audit database; undefined where there is none. */
  readonly databaseUrl: () => Promise<string | undefined>;
  /** Keys of approvers, on this machine; undefined where none are given. */
  readonly signers: SignerFiles | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly now: Date;
}

export interface GateQuestion {
  /** The ring that changes, with the gates that hold. */
  readonly ring: Ring;
  /** What the ring that it promotes from pins now; undefined where it promotes from none. */
  readonly source: ReadonlyMap<string, LockEntry> | undefined;
  readonly pins: readonly GatedPin[];
  /** The revision whose history says what the ring had before; undefined: a return is not looked for. */
  readonly historyOf: string | undefined;
  /** Revisions whose history may have commits that approve. */
  readonly approvedIn: readonly string[];
  /** Where the tags that approve stand; default `refs/tags`. */
  readonly approvalTags?: string;
  /** Addresses of those who make the change. */
  readonly authors: readonly string[];
}

export type GatedPin =
  | { readonly kind: 'pin'; readonly alias: string; readonly after: LockEntry }
  | { readonly kind: 'removal'; readonly alias: string }
  | { readonly kind: 'platform'; readonly platform: string };

/** What the gates of a ring say of each change of its lock, in their order. */
export async function judgePins(
  repository: GitRepository,
  question: GateQuestion,
  sources: GateSources,
): Promise<PinJudgement[]> {
  const { ring, pins, historyOf } = question;
  const aliases = pins.flatMap((pin) => (pin.kind === 'platform' ? [] : [pin.alias]));
  // Where nothing is asked, nothing has to be known.
  const isAsked = hasGates(ring.gates) && historyOf !== undefined;
  const history = isAsked
    ? await readLockHistory(repository, ring.name, aliases, { revision: historyOf })
    : new Map<string, PinHistory>();
  const had = (pin: GatedPin) =>
    pin.kind === 'pin' &&
    history.get(pin.alias)?.some((entry) => entry !== undefined && samePin(entry, pin.after));
  const asked = pins.flatMap((pin) => (pin.kind === 'pin' && !had(pin) ? [pin] : []));
  const learn = await openFacts(repository, question, sources, asked);
  return Promise.all(
    pins.map(async (pin): Promise<PinJudgement> => {
      if (pin.kind !== 'pin') return ofRing(ring, pin, sources.now);
      const { alias, after } = pin;
      const { version, sha256 } = after;
      const about = { alias, version, sha256 };
      if (had(pin) === true) return { ...about, is_return: true, gates: [] };
      const gated = { ...about, source: ring.promotesFrom ?? '' };
      const gates = judgeGates(ring.gates, gated, await learn(gated), sources.now);
      return { ...about, is_return: false, gates };
    }),
  );
}

/** No version comes: of the gates only a freeze has anything to say. */
function ofRing(ring: Ring, pin: Exclude<GatedPin, { kind: 'pin' }>, now: Date): PinJudgement {
  return {
    alias: pin.kind === 'platform' ? null : pin.alias,
    version: pin.kind === 'platform' ? pin.platform : null,
    sha256: null,
    is_return: false,
    gates: freezeVerdicts(ring.gates, now),
  };
}

type LearnFacts = (version: GatedVersion) => Promise<GateFacts>;

async function openFacts(
  repository: GitRepository,
  question: GateQuestion,
  sources: GateSources,
  asked: readonly { readonly alias: string; readonly after: LockEntry }[],
): Promise<LearnFacts> {
  const { gates } = question.ring;
  const record =
    gates.soakMs === undefined || asked.length === 0
      ? { unknown: 'not asked' }
      : await readRecord(question, sources, asked);
  const keys =
    gates.approvals === 0 || asked.length === 0
      ? { unknown: 'not asked' }
      : await readKeys(sources.signers);
  return async (version) => ({
    source: 'unknown' in record ? record : sourceFacts(question, record, version),
    approvals:
      'unknown' in keys ? keys : await approvalsOf(repository, question, version, keys, sources),
    checks: await askChecks(gates.requires, version, {
      directory: repository.topLevel,
      ring: question.ring.name,
      environment: sources.environment,
    }),
  });
}

async function readRecord(
  { ring, source }: GateQuestion,
  { databaseUrl }: GateSources,
  asked: readonly { readonly alias: string; readonly after: LockEntry }[],
): Promise<RingRecord | Unknown> {
  const { promotesFrom } = ring;
  if (promotesFrom === undefined || source === undefined) {
    return { unknown: `${ring.name} promotes from no ring that has a lock` };
  }
  try {
    const url = await databaseUrl();
    if (url === undefined) {
      const how = 'give --database-url, DATABASE_URL or DATABASE_URL_FILE';
      return { unknown: `no audit database is given (${how})` };
    }
    const versions = asked.map(({ alias, after }) => ({ alias, version: after.version }));
    return await readRingRecord(url, promotesFrom, versions);
  } catch (error) {
    if (!(error instanceof RinglockError) || error.exitCode !== 3) throw error;
    return { unknown: `the audit database does not say: ${error.message}` };
  }
}

async function readKeys(files: SignerFiles | undefined): Promise<TrustedKeys | Unknown> {
  if (files === undefined) {
    const how = 'give --allowed-signers FILE or --gpg-keys PATH';
    return { unknown: `no keys of approvers are given (${how})` };
  }
  return readTrustedKeys(files);
}

function sourceFacts(
  { source }: GateQuestion,
  { events, replicas, failures }: RingRecord,
  { alias, version, sha256 }: GatedVersion,
): SourceFacts {
  const pinned = source?.get(alias);
  const failed = failures.find(({ changes }) =>
    changes.some((one) => one.alias === alias && one.version === version && one.sha256 === sha256),
  );
  return {
    history: findSoaks(events.get(alias) ?? [], { version, sha256 }),
    isPinned: pinned !== undefined && samePin(pinned, { version, sha256 }),
    failure: failed?.reason,
    replicas,
  };
}

function approvalsOf(
  repository: GitRepository,
  { ring, approvedIn, authors, approvalTags = 'refs/tags' }: GateQuestion,
  { alias, version, sha256, source }: GatedVersion,
  keys: TrustedKeys,
  { now }: GateSources,
) {
  const question = {
    ...{ ring: ring.name, alias, version, sha256, source, authors },
    ...{ approvers: ring.gates.approvers, revisions: approvedIn, tags: approvalTags },
  };
  return findApprovals(repository, question, keys, now);
}
