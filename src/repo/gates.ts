import { parseDuration } from './duration.ts';
import { type FreezeWindow, type FreezeYaml, parseFreezeWindow } from './freeze-window.ts';
import { invalidValue } from './source-text.ts';
import { isTimeZone } from './wall-clock.ts';

/** What has to be so before a version may come to a ring. */
export interface Gates {
  /** How long the version has to have been well in the ring before, in ms; undefined: not asked for. */
  readonly soakMs: number | undefined;
  /** As written, for messages. */
  readonly soak: string | undefined;
  /** How many of `approvers` have to approve. */
  readonly approvals: number;
  /** Principals of the allowed signers, user ids or fingerprints. */
  readonly approvers: readonly string[];
  readonly freeze: readonly FreezeWindow[];
  readonly requires: readonly RequiredCheck[];
  /** Whether a person may go over closed gates, with a reason. */
  readonly isOverridable: boolean;
}

/** Something outside that has to agree. */
export type RequiredCheck = {
  readonly name: string;
  readonly timeoutMs: number;
} & (
  | { readonly kind: 'url'; readonly url: string }
  | {
      readonly kind: 'command';
      readonly command: string;
      /** Names of variables that the command may see. */
      readonly environment: readonly string[];
    }
);

export interface GatesYaml {
  readonly soak?: string;
  readonly approvals?: number;
  readonly approvers?: readonly string[];
  readonly freeze?: readonly FreezeYaml[];
  readonly requires?: readonly RequiredYaml[];
  readonly override?: boolean;
}

interface RequiredYaml {
  readonly url?: string;
  readonly command?: string;
  readonly name?: string;
  readonly timeout?: string;
  readonly env?: readonly string[];
}

/** Of a ring without gates. */
const noGates: Gates = {
  soakMs: undefined,
  soak: undefined,
  approvals: 0,
  approvers: [],
  freeze: [],
  requires: [],
  isOverridable: false,
};

/** Whether anything is asked at all. */
export function hasGates({ soakMs, approvals, freeze, requires }: Gates): boolean {
  return soakMs !== undefined || approvals > 0 || freeze.length > 0 || requires.length > 0;
}

/**
 * Reads the gates of a ring's file that its schema has passed.
 *
 * @param text of the file, for the line that messages name
 * @throws RinglockError `invalid-file`
 */
export function parseGates(yaml: GatesYaml | undefined, text: string, file: string): Gates {
  if (yaml === undefined) return noGates;
  const { soak, approvals = 0, approvers = [], override = false } = yaml;
  if (approvals > new Set(approvers).size) {
    const expected = `at most ${approvers.length}, the number of approvers`;
    throw invalidValue(text, file, ['gates', 'approvals'], approvals, expected);
  }
  return {
    soak,
    soakMs: soak === undefined ? undefined : parseDuration(soak, `${file}: gates.soak`),
    approvals,
    approvers,
    freeze: (yaml.freeze ?? []).map((window, index) => freezeWindow(window, index, text, file)),
    requires: (yaml.requires ?? []).map((check, index) => {
      if ((check.url === undefined) !== (check.command === undefined)) {
        return requiredCheck(check, file);
      }
      const path = ['gates', 'requires', index];
      throw invalidValue(text, file, path, check, '{url} or {command}, one of them');
    }),
    isOverridable: override,
  };
}

function freezeWindow(yaml: FreezeYaml, index: number, text: string, file: string): FreezeWindow {
  const path = ['gates', 'freeze', index] as const;
  const { timezone } = yaml;
  if (timezone !== undefined && !isTimeZone(timezone)) {
    const expected = 'the IANA name of a time zone, such as Europe/Berlin';
    throw invalidValue(text, file, [...path, 'timezone'], timezone, expected);
  }
  const window = parseFreezeWindow(yaml);
  if (!('field' in window)) return window;
  const { field, expected } = window;
  throw invalidValue(text, file, [...path, field], yaml[field], expected);
}

const defaultTimeout = '30s';

function requiredCheck(yaml: RequiredYaml, file: string): RequiredCheck {
  const { url, command, timeout = defaultTimeout, env = [] } = yaml;
  const common = {
    name: yaml.name ?? url ?? command ?? '',
    timeoutMs: parseDuration(timeout, `${file}: gates.requires timeout`),
  };
  if (url !== undefined) return { ...common, kind: 'url', url };
  return { ...common, kind: 'command', command: command ?? '', environment: env };
}
