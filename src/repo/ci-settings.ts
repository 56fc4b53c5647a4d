import { settingsFile } from './names.ts';
import { invalidValue } from './source-text.ts';

/** What a pipeline is about: a change that asks to be merged, or one that a deploy branch got. */
export type CiEvent = 'merge-request' | 'push';

/** A job and what fires it. */
export interface CiJob {
  readonly name: string;
  /** Globs from the repository's top, of which one changed file fires the job; undefined: any change does. */
  readonly paths: readonly string[] | undefined;
  /** Globs of files that do not fire it all the same. */
  readonly except: readonly string[];
  readonly events: readonly CiEvent[];
  readonly when: 'always' | 'manual';
  /** Shell commands; undefined where the pipeline has the job itself. */
  readonly run: readonly string[] | undefined;
  /** The GitLab job that it extends, where it is not `.<name>`. */
  readonly extends: string | undefined;
}

export interface CiSettings {
  readonly jobs: readonly CiJob[];
  /** Files of the repository that a GitLab child pipeline includes. */
  readonly include: readonly string[];
}

export interface CiYaml {
  readonly include?: readonly string[];
  readonly jobs?: readonly (Pick<CiJob, 'name'> & Partial<CiJob>)[];
}

/**
 * The settings below `ci`, or the usual table for the package roots.
 *
 * @param text of the whole file, for messages
 * @throws RinglockError `invalid-file` when two jobs have one name
 */
export function ciSettings(
  yaml: CiYaml | undefined,
  roots: readonly string[],
  text: string,
): CiSettings {
  const given = yaml?.jobs?.map((job) => ciJob(job.name, job.paths, job));
  const names = given?.map(({ name }) => name) ?? [];
  const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
  if (twice !== -1) {
    const path = ['ci', 'jobs', twice, 'name'];
    throw invalidValue(text, settingsFile, path, names[twice], 'a name that no other job has');
  }
  return { jobs: given ?? usualJobs(roots), include: yaml?.include ?? [] };
}

/**
 * The path table of the reference, row by row, with one difference: a lock fires `verify`, since it is
 * the deployment. Every path without a row fires nothing.
 */
function usualJobs(roots: readonly string[]): CiJob[] {
  const everyRoot = (below: string): string[] => roots.map((root) => `${root}/${below}`);
  // `modules/*/**` alone would match modules/README.md too.
  const modules = everyRoot('*/**/*');
  const backend = [...modules, 'backend/**', 'composer.json', 'composer.lock'];
  // Neither a version nor a text is code: a bump rebuilds nothing.
  const except = [...everyRoot('*/module.json'), ...everyRoot('*/*.md')];
  const push: readonly CiEvent[] = ['push'];
  return [
    ciJob('module-version-check', modules, { run: ['ringlock ci versions'] }),
    ciJob('module-lock-validate', modules, { run: ['ringlock ci lock'] }),
    ciJob('module-changelog-check', modules, { run: ['ringlock ci changelogs'] }),
    ciJob('module-split', modules, { run: ['ringlock mirror --changed'], events: push }),
    ciJob('verify', ['manifests/*.lock.json'], { run: ['ringlock ci lock', 'ringlock verify'] }),
    ciJob('build-api', backend, { except }),
    ciJob('build-horizon', backend, { except }),
    ciJob('build-frontend', [...everyRoot('*/frontend/**'), 'frontend/**']),
    ciJob('build-docs', ['docs/**']),
    ciJob('deploy-k8s', undefined, { events: push, when: 'manual' }),
  ];
}

function ciJob(
  name: string,
  paths: readonly string[] | undefined,
  given: Partial<CiJob> = {},
): CiJob {
  const { except = [], events = ['merge-request', 'push'], when = 'always' } = given;
  return { name, paths, except, events, when, run: given.run, extends: given.extends };
}
