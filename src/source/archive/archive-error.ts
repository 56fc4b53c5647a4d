import { type RinglockError, refused } from '../../errors.ts';

/**
 * Why an archive is refused: `archive-invalid` (it contradicts itself, or is not whole),
 * `archive-unsupported` (what no package of ours has), `archive-path` (a name or kind that is no module's),
 * `archive-too-large`.
 */
export type ArchiveErrorCode =
  | 'archive-invalid'
  | 'archive-unsupported'
  | 'archive-path'
  | 'archive-too-large';

/**
 * @param label what messages call the archive
 * @param what goes on after it, with a verb; names the entry where it is one's
 */
export function archiveError(code: ArchiveErrorCode, label: string, what: string): RinglockError {
  return refused(code, `${label} ${what}`, { hint: hints[code] });
}

const hints: Readonly<Record<ArchiveErrorCode, string>> = {
  'archive-invalid': 'Nothing of it was kept. Make the package again: ringlock package.',
  'archive-unsupported':
    'Make the package with ringlock package, or zip the module without encryption and streaming.',
  'archive-path':
    'Nothing of it was kept. Such a module cannot have been locked: check the source.',
  'archive-too-large':
    'Nothing of it was kept. If it is as it should be, raise --max-file or --max-module of the reconciler.',
};
