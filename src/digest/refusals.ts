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
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.' || segment === '..')
      return 'has an empty, . or .. segment';
    if (isGitDirectory(segment)) return 'has a segment that git reads as .git';
    if (segment.includes(':')) return 'has a colon in its name (an NTFS stream)';
  }
  return undefined;
}

/** `.git` as HFS+ and NTFS would also spell it. */
function isGitDirectory(segment: string): boolean {
  const plain = segment
    .replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '')
    .replace(/[. ]+$/, '')
    .toLowerCase();
  return plain === '.git' || plain === 'git~1';
}

/** Paths, or directories of paths, that are one on a case-folding or normalising file system. */
function findCollisions(paths: readonly string[]): PathRefusal[] {
  const found: PathRefusal[] = [];
  const spelling = new Map<string, string>();
  for (const path of [...paths].sort()) {
    let end = -1;
    do {
      end = path.indexOf('/', end + 1);
      const part = end === -1 ? path : path.slice(0, end);
      const folded = fold(part);
      const first = spelling.get(folded);
      if (first === undefined) spelling.set(folded, part);
      else if (first !== part) {
        found.push({ path, reason: `is the same as ${first} under case folding or Unicode NFC` });
        break;
      }
    } while (end !== -1);
  }
  return found;
}

function fold(path: string): string {
  // Upper then lower case also folds pairs such as ß/SS and σ/ς, which lower case alone leaves apart.
  return path.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC');
}
