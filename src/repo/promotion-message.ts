import { overrideLine } from './override-trailer.ts';
import { type PinJudgement, passedLines } from './pin-judgement.ts';
import type { Promotion } from './promotion.ts';

export interface PromotionMessage {
  readonly from: string;
  readonly to: string;
  readonly promotion: Pick<Promotion, 'changes' | 'platform'>;
  readonly judgements: readonly PinJudgement[];
  /** Steps up that the target's database would see, by alias. */
  readonly migrations: ReadonlyMap<string, readonly string[]>;
  readonly reason: string | undefined;
  /** Why closed gates were gone over. */
  readonly override: string | undefined;
}

/** A commit message from which a reviewer sees what moves, and why it may. */
export function promotionMessage(message: PromotionMessage): string {
  const { from, to, promotion, judgements, migrations, reason, override } = message;
  const { changes, platform } = promotion;
  const lines = changes.flatMap(({ alias, before, after }) => [
    `- ${alias}: ${before?.version ?? 'new'} → ${after.version} (${after.sha256.slice(0, 19)})`,
    ...judgements
      .filter((judgement) => judgement.alias === alias)
      .flatMap(passedLines)
      .map((line) => `  ${line}`),
    ...(migrations.get(alias) ?? []).map((name) => `  migration: ${name}`),
  ]);
  const moved = platform === undefined ? [] : [`- platform: ${platform.from} → ${platform.to}`];
  return `${[
    `Promote ${subjectOf(promotion)} from ${from} to ${to}`,
    '',
    ...lines,
    ...moved,
    ...(reason === undefined ? [] : ['', reason]),
    ...(override === undefined ? [] : ['', overrideLine(override)]),
  ].join('\n')}\n`;
}

function subjectOf({ changes, platform }: Pick<Promotion, 'changes' | 'platform'>): string {
  const [first] = changes;
  if (first === undefined) return `platform ${platform?.to}`;
  if (changes.length === 1) return `${first.alias} ${first.after.version}`;
  return `${changes.length} modules`;
}
