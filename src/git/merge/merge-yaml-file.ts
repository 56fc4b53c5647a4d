import { mergeYamlFile } from '../../repo/yaml-merge.ts';
import type { ConflictChoice, FileMerge, MergedTexts } from './file-merge.ts';
import { type MergedFiles, markDifferences, mergeAsText } from './text-merge.ts';

/**
 * Merges tenants.yaml or a ring's file by its entries.
 *
 * @param conclude what to do where neither side can be taken; asked only then
 * @returns undefined for a file that is not one of these, or cannot be read as one
 */
export async function mergeYamlThreeWay(
  cwd: string,
  path: string,
  texts: MergedTexts,
  files: MergedFiles,
  conclude: () => Promise<ConflictChoice>,
): Promise<FileMerge | undefined> {
  const noMarkers = { size: 7, ours: '', base: '', theirs: '', showsBase: false };
  const lines = await mergeAsText(cwd, files, noMarkers, undefined);
  const byLine = lines.clean ? lines.text?.toString() : undefined;
  const merge = mergeYamlFile(path, texts, byLine);
  if (merge === undefined) return undefined;
  if (merge.text !== undefined) return { text: merge.text, conflicts: [] };
  const choice = await conclude();
  if (typeof choice === 'string') {
    const text = mergeYamlFile(path, texts, undefined, choice)?.text ?? texts[choice];
    return { text, conflicts: [] };
  }
  const conflicts =
    merge.conflicts.length > 0 ? merge.conflicts : ['its entries merge, its text does not'];
  const marked = await mergeAsText(cwd, files, choice, undefined);
  if (!marked.clean && marked.text !== undefined)
    return { text: marked.text.toString(), conflicts };
  const text = await markDifferences(cwd, texts.ours, texts.theirs, choice);
  return { text, conflicts };
}
