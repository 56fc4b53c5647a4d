import { environmentFailed } from '../errors.ts';
import type { RawObject } from './object-store.ts';

/** Tags of tags are allowed, and nobody makes them. */
const deepestTag = 4;

interface RawReader {
  has(oid: string): Promise<boolean>;
  readRaw(oid: string): Promise<RawObject>;
}

/**
 * The commit that a tag's id leads to: its own, or that of the tag object.
 *
 * @param display the repository, for messages
 * @returns undefined when the object, or the commit that it names, is not there
 * @throws RinglockError `not-a-commit`
 */
export async function commitOfTag(
  reader: RawReader,
  oid: string,
  display: string,
): Promise<string | undefined> {
  let at = oid;
  for (let depth = 0; depth < deepestTag; depth++) {
    if (!(await reader.has(at))) return undefined;
    const { type, content } = await reader.readRaw(at);
    if (type === 'commit') return at;
    const target = /^object ([0-9a-f]{40})\n/.exec(Buffer.from(content).toString('latin1'))?.[1];
    if (type !== 'tag' || target === undefined) break;
    at = target;
  }
  throw environmentFailed('not-a-commit', `a tag of ${display} (${oid}) leads to no commit`);
}
