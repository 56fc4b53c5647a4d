import { createHash } from 'node:crypto';

/** A file that is digested. */
export interface DigestedFile {
  /** Relative to the module, `/`-separated. */
  readonly path: string;
  /** sha256 of the content, lower-case hex without prefix. */
  readonly sha256: string;
}

/**
 * The content digest of a module, `sha256:<hex>`: sha256 over the lines `<sha256>␠␠<path>\n` of its
 * files, sorted bytewise by UTF-8 path; what `find … | LC_ALL=C sort | xargs sha256sum | sha256sum`
 * prints, and Go's h1 module hash in hex.
 */
export function contentDigest(files: readonly DigestedFile[]): string {
  const hash = createHash('sha256');
  for (const { path, sha256 } of [...files].sort(byPathBytes)) hash.update(`${sha256}  ${path}\n`);
  return `sha256:${hash.digest('hex')}`;
}

/** Bytewise order of UTF-8 paths, which differs from UTF-16 order beyond the basic plane. */
export function byPathBytes(a: { readonly path: string }, b: { readonly path: string }): number {
  return comparePathBytes(a.path, b.path);
}

function comparePathBytes(a: string, b: string): number {
  if (isAscii(a) && isAscii(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole ASCII range is meant
  return /^[\x00-\x7f]*$/.test(text);
}
