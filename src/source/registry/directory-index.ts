import { environmentFailed } from '../../errors.ts';
import { isZipOf, sortedVersions } from './package-files.ts';

/** `<alias>/index.json`: what a directory has of a module, for readers that cannot list it. */
export type DirectoryIndex = ReadonlyMap<string, IndexEntry>;

export interface IndexEntry {
  /** Below `<alias>/<version>/`. */
  readonly file: string;
  readonly sha256: string;
  readonly size_bytes: number;
  /** RFC 3339, or null. */
  readonly released_at: string | null;
}

export const indexName = 'index.json';

/**
 * @param name what messages call it
 * @throws RinglockError `registry-malformed`
 */
export function parseIndex(text: string, name: string): DirectoryIndex {
  let value: { versions?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformedIndex(name, 'is not JSON');
  }
  const versions = value?.versions;
  if (typeof versions !== 'object' || versions === null) {
    throw malformedIndex(name, 'has no versions');
  }
  return new Map(
    Object.entries(versions).map(([version, entry]) => [version, asEntry(version, entry, name)]),
  );
}

function asEntry(version: string, value: unknown, name: string): IndexEntry {
  const { file, sha256, size_bytes, released_at = null } = (value ?? {}) as Partial<IndexEntry>;
  const isRight =
    typeof file === 'string' &&
    isZipOf(version, file) &&
    typeof sha256 === 'string' &&
    /^sha256:[0-9a-f]{64}$/.test(sha256) &&
    Number.isSafeInteger(size_bytes) &&
    (released_at === null || !Number.isNaN(Date.parse(released_at)));
  if (isRight) return { file, sha256, size_bytes: size_bytes ?? 0, released_at };
  throw malformedIndex(
    name,
    `has ${JSON.stringify(value)?.slice(0, 200)} for ${version}, expected file, sha256 and size_bytes of a package`,
  );
}

function malformedIndex(name: string, what: string) {
  return environmentFailed('registry-malformed', `${name} ${what}`, {
    hint: 'Releasing into the directory itself writes it anew.',
  });
}

/** One byte form: versions in their order, so that the same content is the same file. */
export function formatIndex(index: DirectoryIndex): string {
  const versions: Record<string, IndexEntry> = {};
  for (const version of sortedVersions(index.keys())) {
    const entry = index.get(version);
    if (entry !== undefined) versions[version] = entry;
  }
  return `${JSON.stringify({ versions }, null, 2)}\n`;
}
