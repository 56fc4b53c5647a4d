import { byPathBytes } from '../digest/content-digest.ts';
import { entryRefusal } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import { overFixedLimit } from '../repo/limits.ts';
import { treeMode } from './completeness.ts';
import type { ObjectReader, TreeEntry } from './object-store.ts';

/** Entries of one module, folders and what is not distributed among them: twice the most files. */
const mostEntries = 200_000;
/** Bytes of all their paths. */
const mostPathBytes = 32 * 1024 * 1024;
/** Trees asked for at once. */
const treesAtOnce = 256;

/**
 * Every file below a module's tree, by its path in the module, in the order of the paths' bytes. A tree
 * may name one and the same subtree many times, so that a few kilobytes make more paths than there are
 * atoms: what is counted is paths, and it stops early.
 *
 * @param label what messages call the module, e.g. `modules/Orders`
 * @throws RinglockError `refused-path` for a name that git itself would not check out,
 *   `limit-exceeded`, `malformed-object`, `object-missing`
 */
export async function listFilesBelow(
  reader: Pick<ObjectReader, 'readTree'>,
  tree: string,
  label: string,
): Promise<TreeEntry[]> {
  const readTree = rememberTrees(reader);
  const files: TreeEntry[] = [];
  const folders = [{ oid: tree, prefix: '' }];
  let entries = 0;
  let pathBytes = 0;
  while (folders.length > 0) {
    const next = folders.splice(-treesAtOnce);
    const trees = await Promise.all(next.map(({ oid }) => readTree(oid)));
    for (const [index, { prefix }] of next.entries()) {
      for (const entry of trees[index] ?? []) {
        const path = `${prefix}${entry.path}`;
        const reason = entryRefusal(entry.path, path);
        if (reason !== undefined) throw refusedEntry(label, path, reason);
        entries += 1;
        pathBytes += path.length;
        if (entries > mostEntries || pathBytes > mostPathBytes) throw tooMany(label);
        if (entry.mode === treeMode) folders.push({ oid: entry.oid, prefix: `${path}/` });
        else files.push({ ...entry, path });
      }
    }
  }
  return files.sort(byPathBytes);
}

/** Each tree is read once, as long as there are few. */
function rememberTrees(
  reader: Pick<ObjectReader, 'readTree'>,
): (oid: string) => Promise<readonly TreeEntry[]> {
  const known = new Map<string, Promise<readonly TreeEntry[]>>();
  return (oid) => {
    const found = known.get(oid) ?? reader.readTree(oid);
    if (known.size < treesAtOnce) known.set(oid, found);
    return found;
  };
}

function refusedEntry(label: string, path: string, reason: string): Error {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return refused('refused-path', `${label}/${shown} ${reason}`, {
    hint: 'Remove or rename it: git itself would not check it out everywhere.',
    details: { refusals: [{ path: shown, reason }] },
  });
}

function tooMany(label: string): Error {
  return overFixedLimit(
    `${label} has more than ${mostEntries} files and folders, or paths of more than ${mostPathBytes} bytes`,
    'What is not distributed counts too: leave it out of the commit.',
  );
}
