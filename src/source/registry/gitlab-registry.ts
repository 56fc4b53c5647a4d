import { badInput, environmentFailed } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAlias } from '../../repo/names.ts';
import { readArtifact } from './artifact-reading.ts';
import { type AskGitlab, listFiles, listPackages, type StoredFile } from './gitlab-packages.ts';
import {
  canBePublished,
  filesBesideZip,
  isZipOf,
  type PackageFile,
  sortedVersions,
  versionPublished,
  zipName,
} from './package-files.ts';
import type { FoundArtifact, PackagedModule, Published, Registry } from './registry.ts';
import type { RegistryCredentials } from './registry-credentials.ts';
import type { FailureContext } from './registry-failures.ts';
import { ignoreBody, type RegistryRequest } from './registry-http.ts';
import type { RegistryParts } from './registry-parts.ts';
import { resumableDownload } from './resumable-download.ts';

export interface GitlabProject {
  /** Number or path, `{alias}` standing for the module; undefined: each module's own. */
  readonly project: string | undefined;
  /** `gitlab:group/name` of a module. */
  readonly sourceOf: ((alias: string) => string | null | undefined) | undefined;
}

/**
 * GitLab's generic packages: the package `<alias>` of a project, with the module's versions.
 *
 * @see https://docs.gitlab.com/user/packages/generic_packages/ and https://docs.gitlab.com/api/packages/
 */
export function gitlabRegistry(parts: RegistryParts, where: GitlabProject): Registry {
  return new GitlabRegistry(parts, where);
}

class GitlabRegistry implements Registry {
  readonly display: string;
  readonly #parts: RegistryParts;
  readonly #where: GitlabProject;
  readonly #projects: string;

  constructor(parts: RegistryParts, where: GitlabProject) {
    this.#parts = parts;
    this.#where = where;
    this.#projects = `${parts.url.href.replace(/\/+$/, '')}/api/v4/projects/`;
    const { host, pathname } = parts.url;
    this.display = `GitLab ${host}${pathname.replace(/\/+$/, '')}`;
  }

  owns(url: string): boolean {
    const isPlain = URL.canParse(url) && new URL(url).href === url;
    return (
      isPlain && url.startsWith(this.#projects) && generic.test(url.slice(this.#projects.length))
    );
  }

  async versions(alias: string): Promise<readonly string[]> {
    if (!isAlias(alias)) return [];
    const packages = await listPackages(this.#access(), this.#project(alias), alias);
    return sortedVersions(packages.map(({ version }) => version));
  }

  async find(alias: string, version: string): Promise<FoundArtifact | undefined> {
    if (!canBePublished(alias, version)) return undefined;
    const files = await this.#files(alias, version);
    const zips = files.filter(({ name }) => isZipOf(version, name));
    const [first] = zips;
    if (first === undefined) return undefined;
    // GitLab takes a name twice, and gives out the newest: then nobody knows what a download will be.
    const other = zips.find(({ sha256 }) => sha256 !== first.sha256);
    if (other === undefined) return this.#artifact(alias, version, first);
    throw environmentFailed(
      'registry-ambiguous',
      `${this.display} has ${zips.length} packages with different bytes under ${alias} ${version}: ${first.name} ${first.sha256} and ${other.name} ${other.sha256}`,
      { hint: 'Delete those that were not released (Deploy > Package registry).' },
    );
  }

  read(artifact: LockArtifact, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { http, idleTimeoutMs } = this.#parts;
    const request = () => this.#ask({ method: 'GET', url: new URL(artifact.url), signal });
    const size = artifact.size_bytes;
    const bytes = resumableDownload({ http, request, size, signal, idleTimeoutMs });
    const alias = artifact.url.split('/').at(-3) ?? '';
    return readArtifact(this, alias, artifact, bytes);
  }

  async publish(module: PackagedModule, signal: AbortSignal): Promise<Published> {
    const { alias, version } = module;
    const present = await this.find(alias, version);
    if (present !== undefined && present.sha256 !== module.sha256) {
      throw versionPublished(this.display, module, present);
    }
    const files = await this.#files(alias, version);
    for (const file of filesBesideZip(module)) {
      const isThere =
        files.findLast(({ name }) => name === file.name)?.size === file.content.length;
      if (!isThere) await this.#upload(module, file, signal);
    }
    if (present !== undefined) return { outcome: 'same', artifact: present };
    // Last: a version is there when its zip is.
    const zip = { name: zipName(module), mediaType: 'application/zip', content: module.zip };
    await this.#upload(module, zip, signal);
    const artifact = await this.find(alias, version);
    if (artifact?.sha256 === module.sha256) return { outcome: 'published', artifact };
    if (artifact !== undefined) throw versionPublished(this.display, module, artifact);
    throw environmentFailed(
      'registry-failed',
      `${this.display} took ${zip.name} and does not list it`,
      { hint: 'Run the same again in a moment.' },
    );
  }

  async #upload(
    { alias, version }: PackagedModule,
    { name, mediaType, content }: PackageFile,
    signal: AbortSignal,
  ): Promise<void> {
    const url = this.#fileUrl(alias, version, name);
    const headers = { 'content-type': mediaType };
    await this.#parts.http.send(
      await this.#ask({ method: 'PUT', url, headers, body: content, signal }, true),
      ignoreBody,
    );
  }

  async #files(alias: string, version: string): Promise<readonly StoredFile[]> {
    const access = this.#access();
    const project = this.#project(alias);
    const packages = await listPackages(access, project, alias);
    const found = packages.filter((each) => each.version === version);
    const files = await Promise.all(found.map(({ id }) => listFiles(access, project, id)));
    return files.flat().sort((a, b) => a.id - b.id);
  }

  #artifact(alias: string, version: string, file: StoredFile): FoundArtifact {
    const { name, sha256, size, createdAt } = file;
    const url = this.#fileUrl(alias, version, name).href;
    return { url, sha256, size_bytes: size, released_at: createdAt };
  }

  #fileUrl(alias: string, version: string, file: string): URL {
    return new URL(`${this.#project(alias).href}/packages/generic/${alias}/${version}/${file}`);
  }

  /** The URL of the project in the API. */
  #project(alias: string): URL {
    const { project, sourceOf } = this.#where;
    const path =
      project?.replaceAll('{alias}', alias) ??
      /^gitlab:(.+)$/.exec(sourceOf?.(alias) ?? '')?.[1]?.replace(/^\/+|\/+$/g, '');
    if (path !== undefined) return new URL(`${this.#projects}${encodeURIComponent(path)}`);
    throw badInput('no-project', `nothing says which project of ${this.display} has ${alias}`, {
      hint: 'Give the registry a `project` in manifests/ringlock.yaml (or MODULE_REGISTRY_PROJECT), or the module a `repository` on that server.',
    });
  }

  #access() {
    const { http } = this.#parts;
    return { http, ask: this.#ask.bind(this), display: this.display };
  }

  async #ask(request: Parameters<AskGitlab>[0], forWriting = false): Promise<RegistryRequest> {
    const credentials = await this.#parts.credentials();
    const { display } = this;
    const { tokenVariable } = this.#parts;
    const hint = scopeHint(tokenVariable, credentials, forWriting);
    const context: FailureContext = { display, credentials: credentials.source, hint };
    return { ...request, authorization: authorizationOf(credentials), context };
  }
}

/** A file of a generic package, below the API's projects. */
const generic = /^[A-Za-z0-9_.%-]+\/packages\/generic\/[^/?#%]+\/[^/?#%]+\/[^/?#%]+$/;

/** GitLab's header for each kind of token ("Authenticate to the package registry"). */
function authorizationOf({
  token,
  user,
  isJobToken,
}: RegistryCredentials): Readonly<Record<string, string>> {
  if (token === undefined) return {};
  if (isJobToken) return { 'job-token': token };
  if (user !== undefined) {
    return { authorization: `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}` };
  }
  return token.startsWith('gldt-') ? { 'deploy-token': token } : { 'private-token': token };
}

function scopeHint(
  tokenVariable: string,
  { token, isJobToken }: RegistryCredentials,
  forWriting: boolean,
): string {
  const scope = forWriting
    ? 'write_package_registry (a personal, group or project token: api)'
    : 'read_package_registry (a personal, group or project token: read_api)';
  if (isJobToken) {
    return `CI_JOB_TOKEN reaches its own project; another one has to name it under Settings > CI/CD > Job token permissions. Or set ${tokenVariable} to a token with the scope ${scope}.`;
  }
  const what =
    token === undefined
      ? `Set ${tokenVariable} (or ${tokenVariable}_FILE)`
      : `${tokenVariable} is wrong, has expired, or lacks the scope: set it`;
  return `${what} to a token of that project with the scope ${scope}. A deploy token without the prefix gldt- also needs its user name in ${tokenVariable.replace(/_TOKEN$/, '_USER')}.`;
}
