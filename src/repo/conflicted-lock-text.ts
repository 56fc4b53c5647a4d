import { formatLock, type Lock } from './lock.ts';

/** How conflicts are marked: `lock` reads these markers, and git and editors know them. */
export interface ConflictMarkers {
  /** Characters of one marker; git's default is 7. */
  readonly size: number;
  readonly ours: string;
  readonly base: string;
  readonly theirs: string;
  /** Whether the text before the merge is shown too (merge.conflictStyle diff3 or zdiff3). */
  readonly showsBase: boolean;
}

/** The same lock, as it is with each side's choice where they disagree. */
export interface LockChoices {
  readonly ours: Lock;
  readonly base: Lock;
  readonly theirs: Lock;
}

/**
 * A lock with conflict markers around whole entries, never within one: whoever keeps a side has every
 * field of it. Without the markers and the other side's lines it is each side's lock, byte for byte.
 */
export function formatConflictedLock(choices: LockChoices, markers: ConflictMarkers): string {
  const { ours, base, theirs } = choices;
  const blocks = alignBlocks(blocksOf(ours), blocksOf(base), blocksOf(theirs));
  let text = '';
  let region = { ours: '', base: '', theirs: '' };
  for (const block of [...blocks, end]) {
    const isConflict = block.ours !== block.theirs;
    if (isConflict) {
      region = {
        ours: region.ours + block.ours,
        base: region.base + block.base,
        theirs: region.theirs + block.theirs,
      };
      continue;
    }
    if (region.ours !== region.theirs) text += markedRegion(region, markers);
    region = { ours: '', base: '', theirs: '' };
    text += block.ours;
  }
  return text;
}

type Region = Readonly<Record<'ours' | 'base' | 'theirs', string>>;

const end: Region = { ours: '', base: '', theirs: '' };

function markedRegion({ ours, base, theirs }: Region, markers: ConflictMarkers): string {
  const line = (character: string, label: string) =>
    `${character.repeat(markers.size)}${label === '' ? '' : ` ${label}`}\n`;
  const before = markers.showsBase ? line('|', markers.base) + base : '';
  const [start, middle, last] = [line('<', markers.ours), line('=', ''), line('>', markers.theirs)];
  return `${start}${ours}${before}${middle}${theirs}${last}`;
}

/** A lock's text in pieces that are compared whole: what comes before the modules, each entry, the end. */
interface LockBlocks {
  readonly head: string;
  /** By alias, each with its comma; undefined for a lock without modules, which is written on one line. */
  readonly entries: ReadonlyMap<string, string> | undefined;
  readonly tail: string;
}

function blocksOf(lock: Lock): LockBlocks {
  const text = formatLock(lock);
  const opening = '  "modules": {\n';
  const start = text.indexOf(opening);
  const closing = text.lastIndexOf('\n  }\n') + 1;
  if (start === -1) return { head: text, entries: undefined, tail: '' };
  const from = start + opening.length;
  const entries = text.slice(from, closing).match(/^ {4}"[\s\S]*?^ {4}\},?\n/gm) ?? [];
  const aliases = [...lock.modules.keys()].sort();
  return {
    head: text.slice(0, from),
    entries: new Map(aliases.map((alias, index) => [alias, entries[index] ?? ''])),
    tail: text.slice(closing),
  };
}

function alignBlocks(ours: LockBlocks, base: LockBlocks, theirs: LockBlocks): Region[] {
  const head = headRegions(ours.head, base.head, theirs.head);
  if (ours.entries === undefined || theirs.entries === undefined) {
    // One of them has no lines of modules: there is nothing to align.
    const whole = (blocks: LockBlocks) =>
      blocks.head + [...(blocks.entries?.values() ?? [])].join('') + blocks.tail;
    return [{ ours: whole(ours), base: whole(base), theirs: whole(theirs) }];
  }
  const all = [ours, base, theirs].flatMap(({ entries }) => [...(entries?.keys() ?? [])]);
  const entries = [...new Set(all)].sort().map((alias) => ({
    ours: ours.entries?.get(alias) ?? '',
    base: base.entries?.get(alias) ?? '',
    theirs: theirs.entries?.get(alias) ?? '',
  }));
  return [...head, ...entries, { ours: ours.tail, base: ours.tail, theirs: theirs.tail }];
}

/** Line by line, so that only the platform is marked; the heads of one ring have the same lines. */
function headRegions(ours: string, base: string, theirs: string): Region[] {
  const [mine, before, yours] = [ours, base, theirs].map((text) => text.match(/.*\n/g) ?? []);
  return (mine ?? []).map((line, index) => ({
    ours: line,
    base: before?.[index] ?? '',
    theirs: yours?.[index] ?? '',
  }));
}
