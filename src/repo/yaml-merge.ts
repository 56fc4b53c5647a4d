import { parseDocument } from 'yaml';
import { RinglockError } from '../errors.ts';
import { type DataConflict, type MappingShape, meansTheSame, mergeData } from './data-merge.ts';
import { ringOfRingFile, tenantsFile } from './names.ts';
import { parseRingFile } from './ring.ts';
import type { FilePath } from './source-text.ts';
import { findHostnameClaims, parseTenantsFile } from './tenants.ts';
import { withoutYamlItem, withoutYamlValue, withYamlItem, withYamlValue } from './yaml-edit.ts';
import { recombineEntries } from './yaml-entries.ts';

export interface YamlTexts {
  /** Empty when both sides added the file. */
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

export interface YamlMerge {
  /** A line for each thing that both sides changed in different ways. */
  readonly conflicts: readonly string[];
  /** The merged text; undefined with conflicts, or when no text could be made that means the right thing. */
  readonly text: string | undefined;
}

interface YamlFileKind {
  readonly shape: MappingShape;
  /** The mapping whose entries are moved with the comments around them. */
  readonly entries: readonly string[];
  /** @throws RinglockError for a text that is no such file */
  readonly check: (text: string) => readonly string[];
}

const fields: MappingShape = {
  keys: { hostnames: 'set', modules: 'set', since: 'later' },
  others: 'value',
};

const tenantsKind: YamlFileKind = {
  shape: { keys: { tenants: { keys: {}, others: fields } }, others: 'value' },
  entries: ['tenants'],
  check: (text) => findHostnameClaims(parseTenantsFile(text).tenants),
};

const holds: MappingShape = { keys: {}, others: 'value', mayBeAbsent: true };

function ringKind(ring: string): YamlFileKind {
  return {
    shape: { keys: { hostnames: 'set', holds }, others: 'value' },
    entries: [],
    check: (text) => {
      parseRingFile(text, ring);
      return [];
    },
  };
}

function kindOf(path: string): YamlFileKind | undefined {
  if (path === tenantsFile) return tenantsKind;
  const ring = ringOfRingFile(path);
  return ring === undefined ? undefined : ringKind(ring);
}

/**
 * Merges tenants.yaml by tenant and field, or a ring's file by setting and hold; comments and order stay.
 *
 * @param byLine what merging line by line made of it without conflicts; it keeps most, and is taken if it
 *   means the right thing
 * @param preferred the side that is taken where they disagree
 * @returns undefined when a side is no such file
 */
export function mergeYamlFile(
  path: string,
  texts: YamlTexts,
  byLine: string | undefined,
  preferred?: 'ours' | 'theirs' | 'base',
): YamlMerge | undefined {
  const kind = kindOf(path);
  if (kind === undefined) return undefined;
  const sides = readSides(kind, texts);
  if (sides === undefined) return undefined;
  const { value, conflicts } = mergeData(sides, kind.shape, preferred);
  if (conflicts.length > 0) return { conflicts: conflicts.map(describe), text: undefined };
  const candidates = [() => byLine, () => rewritten(kind, texts, value)];
  for (const candidate of candidates) {
    const text = candidate();
    const meaning = text === undefined ? undefined : meaningOf(kind, text);
    if (text === undefined || meaning === undefined) continue;
    if (!meansTheSame(meaning.data, value, kind.shape)) continue;
    // Each side may have given the hostname to another tenant: right by itself, and wrong together.
    const problems = meaning.problems.filter((problem) => !sides.problems.has(problem));
    if (problems.length > 0) return { conflicts: problems, text: undefined };
    return { conflicts: [], text };
  }
  return { conflicts: [], text: undefined };
}

function readSides(kind: YamlFileKind, { base, ours, theirs }: YamlTexts) {
  const [before, mine, yours] = [base, ours, theirs].map((text) =>
    text === '' ? { data: {}, problems: [] } : meaningOf(kind, text),
  );
  if (before === undefined || mine === undefined || yours === undefined) return undefined;
  return {
    ...{ base: before.data, ours: mine.data, theirs: yours.data },
    problems: new Set([...mine.problems, ...yours.problems]),
  };
}

function meaningOf(kind: YamlFileKind, text: string) {
  try {
    const problems = kind.check(text);
    return { data: parseDocument(text).toJS() as unknown, problems };
  } catch (error) {
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}

/** Our text with what theirs changed. */
function rewritten(kind: YamlFileKind, texts: YamlTexts, value: unknown): string {
  const text = recombineEntries(texts, kind.entries) ?? texts.ours;
  return editTowards(text, [], parseDocument(text).toJS(), value, kind.shape);
}

function editTowards(
  text: string,
  path: FilePath,
  found: unknown,
  wanted: unknown,
  shape: MappingShape,
): string {
  const [before, after] = [asMapping(found), asMapping(wanted)];
  let edited = text;
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const at = [...path, key];
    const [was, is] = [before[key], after[key]];
    const inner = shape.keys[key] ?? shape.others;
    if (meansTheSame(was, is, inner)) continue;
    if (is === undefined) edited = withoutYamlValue(edited, at);
    else if (typeof inner === 'object' && was !== undefined) {
      edited = editTowards(edited, at, was, is, inner);
    } else if (inner === 'set' && Array.isArray(was) && Array.isArray(is)) {
      edited = editList(edited, at, was as string[], is as string[]);
    } else edited = withYamlValue(edited, at, is, 'flow');
  }
  return edited;
}

function editList(
  text: string,
  path: FilePath,
  found: readonly string[],
  wanted: readonly string[],
): string {
  const added = wanted.filter((item) => !found.includes(item));
  const gone = found.filter((item) => !wanted.includes(item));
  const longer = added.reduce((edited, item) => withYamlItem(edited, path, item), text);
  return gone.reduce((edited, item) => withoutYamlItem(edited, path, item), longer);
}

function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

function describe({ path, ours, theirs }: DataConflict): string {
  const name = (path[0] === 'tenants' && path.length > 1 ? path.slice(1) : path).join('.');
  const said = (value: unknown) => {
    if (value === undefined) return 'absent';
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return text.length > 60 ? `${text.slice(0, 57)}…` : text;
  };
  return `${name}: ${said(ours)} on our side, ${said(theirs)} on theirs`;
}
