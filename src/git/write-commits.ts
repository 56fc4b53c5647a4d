import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { type GitRepository, runGitBytes } from './git-command.ts';

/** A commit object: its id and its content. */
export interface CommitObject {
  readonly oid: string;
  readonly content: Buffer;
}

/** Fewer objects than this become files of their own: git packs those when it likes. */
const fewestInPack = 100;

/** The id that git gives a commit of this content, in a repository of SHA-1 or of SHA-256 ids. */
export function commitId(content: Buffer, algorithm: 'sha1' | 'sha256'): string {
  return createHash(algorithm).update(`commit ${content.length}\0`).update(content).digest('hex');
}

/**
 * Writes commits into the repository by one git process: as a pack, or as objects by themselves when
 * they are few. git checks what it is given, and makes it visible as a whole.
 *
 * @throws RinglockError `git-failed`
 */
export async function writeCommits(
  { topLevel }: GitRepository,
  commits: readonly CommitObject[],
  algorithm: 'sha1' | 'sha256',
): Promise<void> {
  if (commits.length === 0) return;
  const pack = commitPack(commits, algorithm);
  const args = commits.length < fewestInPack ? ['unpack-objects', '-q'] : ['index-pack', '--stdin'];
  await runGitBytes(topLevel, args, { input: pack });
}

/**
 * The fastest level, since commits hold ids, which no level makes smaller; and little memory for each, of
 * which thousands wait for the garbage collector (500 MB were seen with the defaults).
 */
const smallStream = { level: 1, windowBits: 10, memLevel: 2, chunkSize: 1024 };

/** gitformat-pack, version 2, without deltas. */
function commitPack(commits: readonly CommitObject[], algorithm: 'sha1' | 'sha256'): Buffer {
  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  header.writeUInt32BE(commits.length, 8);
  const parts: Uint8Array[] = [header];
  for (const { content } of commits) {
    parts.push(commitHeader(content.length), deflateSync(content, smallStream));
  }
  const pack = Buffer.concat(parts);
  return Buffer.concat([pack, createHash(algorithm).update(pack).digest()]);
}

/** Type 1 and the size: four bits of it, then seven a byte, least significant first. */
function commitHeader(size: number): Buffer {
  const bytes = [(1 << 4) | (size & 15)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
    bytes.push(rest & 0x7f);
  }
  return Buffer.from(bytes);
}
