import { printableName } from './printable.ts';

/** One thing that a check says of a change, where a forge can show it. */
export interface CiFinding {
  /** Stable, for machines: `version-unbumped`, `lock-stale`, … */
  readonly check: string;
  /** An error fails the pipeline. */
  readonly severity: 'error' | 'warning';
  readonly alias: string | undefined;
  /** From the repository's top. */
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** One sentence, or a few. */
  readonly message: string;
  /** What to do: a command, or a sentence. */
  readonly mend: string | undefined;
  /** Changed files that it is about. */
  readonly files: readonly string[];
}

/** As people read it: what is wrong, which files changed, what mends it. */
export function describeFinding({ severity, message, mend, files }: CiFinding): string {
  const shown = files.slice(0, 5).map((file) => `    ${printableName(file)}`);
  const more = files.length > 5 ? [`    and ${files.length - 5} more`] : [];
  const start = severity === 'warning' ? 'warning: ' : '';
  const end = mend === undefined ? [] : [`  → ${mend}`];
  return [`${start}${message}`, ...shown, ...more, ...end].join('\n');
}
