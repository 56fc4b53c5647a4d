import { createHash } from 'node:crypto';

/** What a request asks to pin: the versions and their bytes, and the platform where that moves. */
export interface RequestedPins {
  readonly ring: string;
  readonly pins: readonly {
    readonly alias: string;
    readonly version: string;
    readonly sha256: string;
  }[];
  readonly platform: string | undefined;
}

/**
 * The branch of one step of promotion. It is the step's name: one branch, so one open request. Every part
 * has a place of its own, since ring names may have hyphens, and since git keeps no branch `a` beside `a/b`.
 *
 * @param aliases as they were asked for; none for all modules
 */
export function stepBranch(from: string, to: string, aliases: readonly string[]): string {
  return `ringlock/promote/${from}/${to}/${stepName([...new Set(aliases)].sort())}`;
}

const longestName = 100;

function stepName(aliases: readonly string[]): string {
  // No alias begins with an underscore.
  if (aliases.length === 0) return '_all';
  const name = aliases.join('+');
  if (name.length <= longestName) return name;
  return `${aliases[0]}+${aliases.length - 1}-more-${hashOf(name).slice(0, 12)}`;
}

/** One for the same pins, whatever they replace: what a person has declined once is known by it. */
export function requestKey({ ring, pins, platform }: RequestedPins): string {
  const lines = pins.map(({ alias, version, sha256 }) => `${alias} ${version} ${sha256}`);
  return hashOf([ring, platform ?? '', ...lines.sort()].join('\n'));
}

/** GitHub takes 65,536 characters, of which the marker needs some. */
const longestText = 65_000;
const longestTitle = 250;

/**
 * The text with a marker that is not shown: which pins it is about, and what it was written for.
 *
 * @param occasion while that is the same, the text stays as it is, whatever people make of it
 */
export function markedText(text: string, occasion: string, key: string): string {
  const cut = text.length > longestText ? `${text.slice(0, longestText)}\n…` : text;
  return `${cut.trimEnd()}\n\n<!-- ringlock-promotion: ${key} ${hashOf(occasion)} -->\n`;
}

export interface RequestMarker {
  /** As requestKey() gives it. */
  readonly key: string;
  /** A digest of what the text was written for. */
  readonly occasion: string;
}

/** The last marker counts: text from elsewhere stands before it. */
export function readMarker(text: string): RequestMarker | undefined {
  const marker = /<!-- ringlock-promotion: ([0-9a-f]{64}) ([0-9a-f]{64}) -->/g;
  const [, key, occasion] = [...text.matchAll(marker)].at(-1) ?? [];
  return key === undefined || occasion === undefined ? undefined : { key, occasion };
}

/** A title that every forge takes: GitHub 256 characters, GitLab 255. */
export function requestTitle(title: string): string {
  return title.length > longestTitle ? `${title.slice(0, longestTitle - 1)}…` : title;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
