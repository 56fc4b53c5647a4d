import { code } from './difference-text.ts';
import { type Lock, samePin, versionDirection } from './lock.ts';
import type { Hold, Ring } from './ring.ts';

/** One of two rings that are compared. */
export interface ComparedRing {
  readonly ring: Ring;
  readonly lock: Lock;
  readonly tenants: number;
}

/** A module that is not the same in both: `other-bytes` has one version with two digests. */
export interface RingModuleDifference {
  readonly alias: string;
  /** Versions in the first and in the second ring; null where it is not there. */
  readonly first: string | null;
  readonly second: string | null;
  readonly state: 'ahead' | 'behind' | 'only-first' | 'only-second' | 'other-bytes';
}

export interface RingSide {
  readonly name: string;
  readonly platform: string;
  readonly tenants: number;
  readonly modules: number;
  readonly suspended: boolean;
  readonly holds: Readonly<Record<string, Hold>>;
}

/** What `ring promote` would look at, where one of the two promotes from the other. */
export interface PromotionOutlook {
  readonly from: string;
  readonly to: string;
  /** New or newer in the source. */
  readonly candidates: readonly {
    readonly alias: string;
    /** Null: it is new there. */
    readonly before: string | null;
    readonly after: string;
  }[];
  /** Newer in the source, and held in the target. */
  readonly held: readonly { readonly alias: string; readonly version: string }[];
  /** The target is ahead, or has other bytes under the version. */
  readonly refused: readonly string[];
  readonly platform: { readonly before: string; readonly after: string } | null;
}

export interface RingDifference {
  readonly first: RingSide;
  readonly second: RingSide;
  /** Modules that both pin alike. */
  readonly same: number;
  /** By alias. */
  readonly modules: readonly RingModuleDifference[];
  /** Null where neither promotes from the other. */
  readonly promotion: PromotionOutlook | null;
}

/** What differs between two rings, and what a promotion between them would move. */
export function ringDifference(first: ComparedRing, second: ComparedRing): RingDifference {
  const aliases = [...new Set([...first.lock.modules.keys(), ...second.lock.modules.keys()])];
  const modules = aliases.sort().flatMap((alias) => moduleDifference(alias, first, second) ?? []);
  return {
    first: sideOf(first),
    second: sideOf(second),
    same: aliases.length - modules.length,
    modules,
    promotion: outlook(first, second, modules),
  };
}

function moduleDifference(
  alias: string,
  first: ComparedRing,
  second: ComparedRing,
): RingModuleDifference | undefined {
  const [one, other] = [first.lock.modules.get(alias), second.lock.modules.get(alias)];
  if (one !== undefined && other !== undefined && samePin(one, other)) return undefined;
  const versions = { alias, first: one?.version ?? null, second: other?.version ?? null };
  if (one === undefined) return { ...versions, state: 'only-second' };
  if (other === undefined) return { ...versions, state: 'only-first' };
  const direction = versionDirection(other.version, one.version);
  const state = ({ up: 'ahead', down: 'behind', same: 'other-bytes' } as const)[direction];
  return { ...versions, state };
}

function sideOf({ ring, lock, tenants }: ComparedRing): RingSide {
  return {
    name: ring.name,
    platform: lock.platform,
    tenants,
    modules: lock.modules.size,
    suspended: ring.suspended !== undefined,
    holds: Object.fromEntries(ring.holds),
  };
}

function outlook(
  first: ComparedRing,
  second: ComparedRing,
  modules: readonly RingModuleDifference[],
): PromotionOutlook | null {
  if (second.ring.promotesFrom === first.ring.name) return outlookFrom(first, second, modules);
  if (first.ring.promotesFrom !== second.ring.name) return null;
  return outlookFrom(second, first, modules.map(turned));
}

function turned({ alias, first, second, state }: RingModuleDifference): RingModuleDifference {
  const other = {
    ahead: 'behind',
    behind: 'ahead',
    'only-first': 'only-second',
    'only-second': 'only-first',
    'other-bytes': 'other-bytes',
  } as const;
  return { alias, first: second, second: first, state: other[state] };
}

/** `modules`: the source is the first. What only the target has stays there. */
function outlookFrom(
  source: ComparedRing,
  target: ComparedRing,
  modules: readonly RingModuleDifference[],
): PromotionOutlook {
  const newer = modules.flatMap(({ alias, first, second, state }) =>
    first !== null && (state === 'ahead' || state === 'only-first')
      ? [{ alias, before: second, after: first }]
      : [],
  );
  const isHeld = ({ alias, after }: { alias: string; after: string }) => {
    const hold = target.ring.holds.get(alias);
    return hold !== undefined && hold.version !== after;
  };
  const [before, after] = [target.lock.platform, source.lock.platform];
  return {
    from: source.ring.name,
    to: target.ring.name,
    candidates: newer.filter((each) => !isHeld(each)),
    held: newer.filter(isHeld).map(({ alias }) => ({
      alias,
      version: target.ring.holds.get(alias)?.version ?? '',
    })),
    refused: modules
      .filter(({ state }) => state === 'behind' || state === 'other-bytes')
      .map(({ alias }) => alias),
    platform: before === after ? null : { before, after },
  };
}

/** What a person reads of a module's state, the two rings by name. */
export function stateWords(
  { state }: RingModuleDifference,
  { first, second }: RingDifference,
): string {
  switch (state) {
    case 'ahead':
      return `${first.name} is ahead`;
    case 'behind':
      return `${second.name} is ahead`;
    case 'only-first':
      return `only in ${first.name}`;
    case 'only-second':
      return `only in ${second.name}`;
    case 'other-bytes':
      return 'one version, other bytes';
  }
}

export function sameWords({ same }: RingDifference): string {
  return same === 1 ? '1 module is the same in both' : `${same} modules are the same in both`;
}

/** What a promotion would do, one sentence each. */
export function outlookLines({ promotion }: RingDifference): string[] {
  if (promotion === null) return [];
  const { from, to, candidates, held, refused, platform } = promotion;
  const listed = candidates.map(
    ({ alias, before, after }) => `${alias} ${before ?? 'new'} → ${after}`,
  );
  return [
    candidates.length === 0
      ? `${from} has nothing newer for ${to}`
      : `to promote from ${from} to ${to}: ${listed.join(', ')}`,
    ...held.map(({ alias, version }) => `held in ${to}: ${alias} at ${version}`),
    ...refused.map(
      (alias) => `not promoted: ${to} has a greater version of ${alias}, or other bytes`,
    ),
    ...(platform === null
      ? []
      : [`platform of ${to}: ${platform.before}, of ${from}: ${platform.after}`]),
  ];
}

/** The comparison as Markdown; what people wrote stands in code spans, outside of tables. */
export function ringDifferenceMarkdown(difference: RingDifference): string {
  const { first, second, modules } = difference;
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const version = (text: string | null) => (text === null ? '-' : code(text));
  const lines = [
    `### ${code(first.name)} and ${code(second.name)}`,
    '',
    row(['', code(first.name), code(second.name)]),
    row(['---', '---', '---']),
    row(['platform', code(first.platform), code(second.platform)]),
    row(['tenants', first.tenants, second.tenants]),
    row(['modules', first.modules, second.modules]),
    ...modules.map((each) =>
      row([
        `${code(each.alias)} (${stateWords(each, difference)})`,
        version(each.first),
        version(each.second),
      ]),
    ),
    '',
    `${sameWords(difference)}.`,
  ];
  for (const side of [first, second]) {
    for (const [alias, hold] of Object.entries(side.holds)) {
      lines.push(
        '',
        `- ${code(side.name)} holds ${code(alias)} at ${code(hold.version)}: ${code(hold.reason)}`,
      );
    }
  }
  for (const line of outlookLines(difference)) lines.push('', `- ${line}`);
  return `${lines.join('\n')}\n`;
}
