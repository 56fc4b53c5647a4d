import { badInput } from '../errors.ts';
import { settingsFile } from './names.ts';

export type RegistryKind = 'gitlab' | 'oci' | 'http' | 'directory';

/** A registry as `manifests/ringlock.yaml` names it. */
export interface RegistrySettings {
  readonly kind: RegistryKind;
  /** `https://…`; of a directory `file:///…` or an absolute path. */
  readonly url: string;
  /** GitLab: number or path of the project, `{alias}` standing for the module; undefined: its mirror's. */
  readonly project: string | undefined;
  /** The environment variable that has its token. */
  readonly tokenVariable: string;
}

/** Where release entries are made. */
export interface ReleaseSettings {
  readonly kind: 'gitlab' | 'github';
  /** Of GitLab, or of GitHub's API. */
  readonly url: string;
  /** Project or `owner/repository`, `{alias}` standing for the module. */
  readonly project: string;
  /** The tag of a version, with `{alias}` and `{version}` in it. */
  readonly tag: string;
}

export interface RegistryYaml {
  readonly kind: RegistryKind;
  readonly url: string;
  readonly project?: string;
  readonly tokenVariable?: string;
}

export interface ReleaseYaml {
  readonly kind: 'gitlab' | 'github';
  readonly url?: string;
  readonly project: string;
  readonly tag?: string;
}

export const registryToken = 'MODULE_REGISTRY_TOKEN';

/** @throws RinglockError `invalid-file` */
export function registrySettings(yaml: RegistryYaml, index: number): RegistrySettings {
  const { kind, url, project, tokenVariable = registryToken } = yaml;
  const where = `${settingsFile}: registries[${index}]`;
  const isLocal = !/^https?:/.test(url);
  if (isLocal !== (kind === 'directory')) {
    const expected = kind === 'directory' ? 'an absolute path or file:///…' : 'https://…';
    throw badInput('invalid-file', `${where}.url is ${JSON.stringify(url)}, expected ${expected}`);
  }
  if (project !== undefined && kind !== 'gitlab') {
    throw badInput('invalid-file', `${where} is of kind ${kind} and has a project, expected none`, {
      hint: 'Only GitLab keeps packages by project: put the path into the URL.',
    });
  }
  refuseProject(project, `${where}.project`);
  return { kind, url, project, tokenVariable };
}

/** @throws RinglockError `invalid-file` */
export function releaseSettings(yaml: ReleaseYaml, index: number): ReleaseSettings {
  const { kind, project, tag = '{alias}@{version}' } = yaml;
  const where = `${settingsFile}: releases[${index}]`;
  const url = yaml.url ?? (kind === 'github' ? 'https://api.github.com' : undefined);
  if (url === undefined) {
    throw badInput('invalid-file', `${where} has no url, expected that of the GitLab server`);
  }
  if (!tag.includes('{version}')) {
    throw badInput(
      'invalid-file',
      `${where}.tag is ${JSON.stringify(tag)}, expected {version} in it`,
    );
  }
  refuseProject(project, `${where}.project`);
  refusePlaceholders(tag, ['alias', 'version'], `${where}.tag`);
  return { kind, url, project, tag };
}

/** It becomes a part of an address that a token is sent to: no segment may lead out of its place. */
function refuseProject(project: string | undefined, where: string): void {
  refusePlaceholders(project, ['alias'], where);
  if (project?.split('/').every((part) => !/^\.{0,2}$/.test(part)) ?? true) return;
  throw badInput(
    'invalid-file',
    `${where} is ${JSON.stringify(project)}, expected a number or a path such as acme/modules`,
  );
}

function refusePlaceholders(
  text: string | undefined,
  known: readonly string[],
  where: string,
): void {
  const rest = known.reduce((left, name) => left.replaceAll(`{${name}}`, ''), text ?? '');
  if (!/[{}]/.test(rest)) return;
  throw badInput(
    'invalid-file',
    `${where} is ${JSON.stringify(text)}, expected no braces but ${known.map((name) => `{${name}}`).join(' and ')}`,
  );
}
