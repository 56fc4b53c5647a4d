/** An entry of a module's git tree. */
export interface TreeFile {
  /** Relative to the module, `/`-separated. */
  readonly path: string;
  /** git's mode: 100644, 100755, 120000 (symlink) or 160000 (gitlink). */
  readonly mode: string;
}

export interface PathRefusal {
  readonly path: string;
  readonly reason: string;
}

/** The first bytes of a git-LFS pointer file. */
const lfsPointerStart = 'version https://git-lfs.github.com/spec/v1';

/** Largest size in bytes that a git-LFS pointer can have (its specification's limit). */
export const lfsPointerMaxBytes = 1024;

export function isLfsPointer(content: Uint8Array): boolean {
  return (
    content.length <= lfsPointerMaxBytes &&
    Buffer.from(content.subarray(0, lfsPointerStart.length)).toString('latin1') === lfsPointerStart
  );
}

/**
 * Every distributed path that cannot be digested and installed the same everywhere, with the reason.
 * (LFS pointers are told by content: see isLfsPointer.)
 *
 * @param files the module's files that are distributed
 */
export function findPathRefusals(files: readonly TreeFile[], maxFiles: number): PathRefusal[] {
  const found: PathRefusal[] = [];
  if (files.length > maxFiles) {
    found.push({ path: '.', reason: `has ${files.length} files, more than ${maxFiles}` });
  }
  for (const { path, mode } of files) {
    const reason = modeRefusal(mode) ?? nameRefusal(path);
    if (reason !== undefined) found.push({ path, reason });
  }
  found.push(...findCollisions(files.map(({ path }) => path)));
  return found;
}

function modeRefusal(mode: string): string | undefined {
  if (mode === '120000') return 'is a symlink';
  if (mode === '160000') return 'is a gitlink (submodule)';
  if (mode !== '100644' && mode !== '100755' && mode !== '100664') return `has mode ${mode}`;
  return undefined;
}

/** Why a path cannot be written below a directory safely and alike on every system. */
export function nameRefusal(path: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x1f\x7f]/.test(path)) return 'has a control character in its name';
  if (path.includes('\\')) return 'has a backslash in its name';
  if (path.includes('\ufffd')) return 'has a name that is not UTF-8';
  if (path === '' || path.startsWith('/')) return 'is not a relative path';
  if (Buffer.byteLength(path) > longestPath) return `is longer than ${longestPath} bytes`;
  for (const segment of path.split('/')) {
    const reason = segmentRefusal(segment);
    if (reason !== undefined) return reason;
    if (segment.includes(':')) return 'has a colon in its name (an NTFS stream)';
    if (/[. ]$/.test(segment)) return 'has a name that ends with a dot or a space';
    if (deviceName.test(segment)) return 'has the name of a device (on Windows)';
  }
  return undefined;
}

/** Bytes of a path in a module: half of what Linux takes, since a root has a path of its own. */
const longestPath = 2048;
/** Bytes of a name: no common file system has longer ones. */
const longestName = 255;

const deviceName = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;

/**
 * Why an entry of a tree can be no file or folder anywhere, distributed or not; git does not check such
 * a thing out either.
 *
 * @param path the entry's path in its module
 */
export function entryRefusal(name: string, path: string): string | undefined {
  if (name.includes('/')) return 'has a slash in its name';
  if (path.length > longestPath) return `is longer than ${longestPath} bytes`;
  return segmentRefusal(name);
}

function segmentRefusal(segment: string): string | undefined {
  if (segment === '' || segment === '.' || segment === '..') return 'has an empty, . or .. segment';
  if (isGitDirectory(segment)) return 'has a segment that git reads as .git';
  if (segment.length > longestName || Buffer.byteLength(segment) > longestName) {
    return `has a name of more than ${longestName} bytes`;
  }
  return undefined;
}

/** `.git` as HFS+ and NTFS would also spell it. */
function isGitDirectory(segment: string): boolean {
  if (!/^[.g\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/i.test(segment)) return false;
  const plain = segment
    .replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '')
    .toLowerCase();
  // NTFS takes no dots and spaces at the end, and reads what follows a colon as a stream.
  return /^(?:\.git|git~1)(?:[. ]*|[. ]*:.*)$/s.test(plain);
}

/** A place of a path, by how it is written there and under its folded names below. */
interface Place {
  readonly spelled: string;
  readonly below: Map<string, Place>;
}

/** Paths, or directories of paths, that are one on a case-folding or normalising file system. */
function findCollisions(paths: readonly string[]): PathRefusal[] {
  const found: PathRefusal[] = [];
  const top: Place = { spelled: '', below: new Map() };
  for (const path of [...paths].sort()) {
    let at = top;
    let start = 0;
    while (start <= path.length) {
      const slash = path.indexOf('/', start);
      const end = slash === -1 ? path.length : slash;
      const folded = foldedName(path.slice(start, end));
      let place = at.below.get(folded);
      if (place === undefined) {
        place = { spelled: path.slice(0, end), below: new Map() };
        at.below.set(folded, place);
      } else if (place.spelled.slice(start) !== path.slice(start, end)) {
        const reason = `is the same as ${place.spelled} under case folding or Unicode NFC`;
        found.push({ path, reason });
        break;
      }
      at = place;
      start = end + 1;
    }
  }
  return found;
}

/** What is one name on a file system that folds case or normalises. */
export function foldedName(path: string): string {
  // Upper then lower case also folds pairs such as ß/SS and σ/ς, which lower case alone leaves apart.
  return path.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC');
}
