import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile, ringFile, tenantsFile } from '../../repo/names.ts';
import { writeFileAtomically } from '../../store/atomic-file.ts';
import { type GitRepository, runGit, tryGit } from '../git-command.ts';

const driverName = 'ringlock';
/** For the base of a merge where the sides have several: conflicts in it are nobody's to resolve. */
const ancestorName = 'ringlock-ancestor';

/** What ringlock merges: the pattern of .gitattributes, and a path to ask git about. */
const mergedPatterns = [
  { pattern: lockFile('*'), example: lockFile('ring') },
  { pattern: ringFile('*'), example: ringFile('ring') },
  { pattern: tenantsFile, example: tenantsFile },
] as const;

export interface MergeDriverStatus {
  /** What this clone's git configuration says; `outdated`: another version's command. */
  readonly configuration: 'installed' | 'outdated' | 'missing';
  readonly attributes: readonly {
    readonly pattern: string;
    /** `other`: .gitattributes gives these files another merge, which is kept. */
    readonly state: 'set' | 'missing' | 'other';
  }[];
}

/**
 * Tells this clone's git of the merge driver, and .gitattributes of the files it is for; what is said
 * there already stays.
 */
export async function installMergeDriver(repository: GitRepository): Promise<void> {
  for (const [name, value] of configuration()) {
    await runGit(repository.topLevel, ['config', '--local', name, value]);
  }
  const { attributes } = await mergeDriverStatus(repository);
  const missing = attributes.filter(({ state }) => state === 'missing');
  if (missing.length === 0) return;
  const file = join(repository.topLevel, '.gitattributes');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const separator = text === '' || text.endsWith('\n') ? '' : newline;
  const lines = missing.map(({ pattern }) => `${pattern} merge=${driverName}${newline}`);
  await writeFileAtomically(file, `${text}${separator}${lines.join('')}`);
}

/** Takes the configuration away; .gitattributes stays, since it is everybody's: git then merges text. */
export async function uninstallMergeDriver({ topLevel }: GitRepository): Promise<void> {
  for (const name of [driverName, ancestorName]) {
    await tryGit(topLevel, ['config', '--local', '--remove-section', `merge.${name}`]);
  }
}

export async function mergeDriverStatus({ topLevel }: GitRepository): Promise<MergeDriverStatus> {
  const found = await Promise.all(
    configuration().map(async ([name, value]) => {
      const { status, stdout } = await tryGit(topLevel, ['config', '--local', '--get', name]);
      return status !== 0
        ? 'missing'
        : stdout.toString() === `${value}\n`
          ? 'installed'
          : 'outdated';
    }),
  );
  const examples = mergedPatterns.map(({ example }) => example);
  const asked = await runGit(topLevel, ['check-attr', '-z', 'merge', '--', ...examples]);
  const fields = asked.split('\0');
  return {
    configuration: found.every((state) => state === 'installed')
      ? 'installed'
      : found.every((state) => state === 'missing')
        ? 'missing'
        : 'outdated',
    attributes: mergedPatterns.map(({ pattern }, index) => {
      const value = fields[index * 3 + 2];
      const state = value === driverName ? 'set' : value === 'unspecified' ? 'missing' : 'other';
      return { pattern, state };
    }),
  };
}

function configuration(): readonly (readonly [string, string])[] {
  return [
    [`merge.${driverName}.name`, 'ringlock: locks, rings and tenants by their entries'],
    [`merge.${driverName}.driver`, driverCommand],
    [`merge.${driverName}.recursive`, ancestorName],
    [`merge.${ancestorName}.name`, 'ringlock: the base of another merge'],
    [`merge.${ancestorName}.driver`, ancestorCommand],
  ];
}

/** Finds ringlock as the hooks do, and runs it; `$s` is how it ended, 127 where there is none. */
const runRinglock = (options: string) =>
  [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's variables
    'p=${RINGLOCK-}',
    '[ -n "$p" ] || p=node_modules/.bin/ringlock',
    '[ -f "$p" ] || p=$(git config --get ringlock.program)',
    '[ -f "$p" ] || p=$(command -v ringlock)',
    'n=',
    'case $p in *.js) n=$(git config --get ringlock.node); [ -x "$n" ] || n=node;; esac',
    's=127',
    `if [ -f "$p" ]; then RINGLOCK_GIT_PROCESS=$PPID $\{n:+"$n"} "$p" merge-driver${options} %O %A %B %L %P %S %X %Y; s=$?; fi`,
  ].join('; ');

/**
 * In the configuration whole, without a file that could be missing. Where ringlock is not there, breaks
 * off, or leaves no markers although it ends as with a conflict (so does a Node that cannot load it),
 * git merges line by line: a driver that only fails leaves our side, and theirs is easily lost.
 */
const driverCommand = [
  runRinglock(''),
  '[ $s != 0 ] || exit 0',
  "[ $s != 1 ] || ! grep -q '^<<<<<<<' %A || exit 1",
  'git merge-file -q --marker-size=%L -L ours -L base -L theirs %A %O %B',
  's=$?; [ $s -lt 128 ] || s=1; exit $s',
].join('; ');

const ancestorCommand = [runRinglock(' --ancestor'), '[ $s = 0 ] || cat %O >%A'].join('; ');
