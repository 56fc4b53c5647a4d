import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent, isUnreadable } from './disk-error.ts';
import { type StoreContext, switchesPath } from './layout.ts';

/** When `current` showed a generation; times are RFC 3339, UTC. */
export interface Shown {
  readonly shownAt: string;
  /** Null while it is shown. */
  readonly leftAt: string | null;
}

/**
 * `<root>/switches.json`: which generations were ever visible, and since when not, so that gc knows
 * which ones running processes may still hold open. Written before each switch: a crash in between
 * leaves at most a generation that is kept for longer than it need be.
 */
export class SwitchLog {
  readonly #context: StoreContext;
  #shown: ReadonlyMap<number, Shown>;
  /** The file is not there, or not one that was written here. */
  readonly isLost: boolean;

  private constructor(context: StoreContext, shown: ReadonlyMap<number, Shown> | undefined) {
    this.#context = context;
    this.#shown = shown ?? new Map();
    this.isLost = shown === undefined;
  }

  static async open(context: StoreContext): Promise<SwitchLog> {
    return new SwitchLog(context, await readSwitches(context.root));
  }

  get shown(): ReadonlyMap<number, Shown> {
    return this.#shown;
  }

  /** The generation that was to be visible last, or undefined when none ever was. */
  get latest(): number | undefined {
    for (const [number, { leftAt }] of this.#shown) if (leftAt === null) return number;
    return undefined;
  }

  /** Notes a switch that is about to happen. */
  async noteSwitch(to: number): Promise<void> {
    const now = this.#latestTime();
    const shown = new Map<number, Shown>();
    for (const [number, { shownAt, leftAt }] of this.#shown) {
      shown.set(number, { shownAt, leftAt: leftAt ?? now });
    }
    shown.set(to, { shownAt: now, leftAt: null });
    await this.#write(shown);
  }

  /**
   * Begins a lost log again: what stands beside the current generation may have been left this instant,
   * so that gc keeps it for as long as it would then.
   */
  async rebuild(numbers: readonly number[], current: number): Promise<void> {
    const now = this.#context.now().toISOString();
    const shown = numbers.map((number): [number, Shown] => [number, { shownAt: now, leftAt: now }]);
    await this.#write(new Map([...shown, [current, { shownAt: now, leftAt: null }]]));
  }

  /** Never before a time in the log: a clock that jumped back must not make a generation look long left. */
  #latestTime(): string {
    const times = [...this.#shown.values()].flatMap(({ shownAt, leftAt }) => [
      shownAt,
      leftAt ?? '',
    ]);
    return [...times, this.#context.now().toISOString()].sort().at(-1) ?? '';
  }

  /** Makes the log agree with what `current` really shows (after a crash, or a person's hand). */
  async settle(current: number): Promise<void> {
    if (this.latest !== current) await this.noteSwitch(current);
  }

  async forget(numbers: readonly number[]): Promise<void> {
    if (!numbers.some((number) => this.#shown.has(number))) return;
    await this.#write(new Map([...this.#shown].filter(([number]) => !numbers.includes(number))));
  }

  async #write(shown: ReadonlyMap<number, Shown>): Promise<void> {
    const entries = [...shown].sort(([a], [b]) => a - b);
    const file: SwitchesFile = {
      format: 1,
      generations: Object.fromEntries(
        entries.map(([number, { shownAt, leftAt }]) => [
          number,
          { shown_at: shownAt, left_at: leftAt },
        ]),
      ),
    };
    await writeFileAtomically(
      switchesPath(this.#context.root),
      `${JSON.stringify(file, null, 2)}\n`,
      { mode: 0o644, fault: this.#context.fault },
    );
    this.#shown = shown;
  }
}

interface SwitchesFile {
  readonly format: 1;
  readonly generations: Readonly<
    Record<string, { readonly shown_at: string; readonly left_at: string | null }>
  >;
}

/** Undefined when the file is lost or broken. */
async function readSwitches(root: string): Promise<ReadonlyMap<number, Shown> | undefined> {
  try {
    const file = JSON.parse(await readFile(switchesPath(root), 'utf8')) as SwitchesFile;
    const entries = Object.entries(file.generations);
    if (!entries.every(([number, shown]) => /^\d+$/.test(number) && isShown(shown)))
      return undefined;
    return new Map(
      entries.map(([number, { shown_at, left_at }]) => [
        Number(number),
        { shownAt: shown_at, leftAt: left_at },
      ]),
    );
  } catch (error) {
    if (isAbsent(error) || isUnreadable(error)) return undefined;
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw diskFailed(error, switchesPath(root));
  }
}

function isShown({ shown_at, left_at }: SwitchesFile['generations'][string]): boolean {
  return isTime(shown_at) && (left_at === null || isTime(left_at));
}

/** As toISOString() writes it, so that times sort as text. */
function isTime(text: unknown): boolean {
  return typeof text === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/.test(text);
}
