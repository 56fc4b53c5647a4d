import { setTimeout as wait } from 'node:timers/promises';
import { badInput, environmentFailed, RinglockError } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAlias } from '../../repo/names.ts';
import { isLoopback } from '../../wire/loopback.ts';
import { readArtifact } from './artifact-reading.ts';
import { nextLink } from './link-header.ts';
import { type OciActions, OciAuthorization } from './oci-authorization.ts';
import { type Blob, imageManifestType, ociPackage, zipOfManifest } from './oci-manifest.ts';
import { canBePublished, sortedVersions, versionPublished } from './package-files.ts';
import type { FoundArtifact, PackagedModule, Published, Registry } from './registry.ts';
import type { RegistryCredentials } from './registry-credentials.ts';
import {
  ignoreBody,
  jsonBody,
  malformed,
  type RegistryAnswer,
  type RegistryRequest,
  wholeBody,
} from './registry-http.ts';
import type { RegistryParts } from './registry-parts.ts';
import { resumableDownload } from './resumable-download.ts';

/**
 * Packages in an OCI registry: the repository `<path of the URL>/<alias>`, a tag for each version, the
 * zip as a blob that the lock names by its digest.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 */
export function ociRegistry(parts: RegistryParts): Registry {
  return new OciRegistry(parts);
}

type Asked = Pick<
  RegistryRequest,
  'method' | 'url' | 'body' | 'headers' | 'expect' | 'signal' | 'retries'
>;

/** A session that broke is begun anew. */
const mostUploads = 4;
const mostPages = 1000;

class OciRegistry implements Registry {
  readonly display: string;
  readonly #parts: RegistryParts;
  readonly #authorization: OciAuthorization;
  /** Path of the URL, with a slash at its end, or empty. */
  readonly #prefix: string;

  constructor(parts: RegistryParts) {
    const { url, http } = parts;
    const path = url.pathname.replace(/^\/+|\/+$/g, '');
    if (path !== '' && !path.split('/').every((part) => repositoryPart.test(part))) {
      throw badInput(
        'invalid-registry',
        `${url.href} has ${JSON.stringify(path)} as the path of repositories, expected lower-case names`,
      );
    }
    this.#parts = parts;
    this.#prefix = path === '' ? '' : `${path}/`;
    this.#authorization = new OciAuthorization(http, url);
    this.display = `the OCI registry ${url.host}/${path}`.replace(/\/$/, '');
  }

  owns(url: string): boolean {
    return this.#aliasOf(url) !== undefined;
  }

  async versions(alias: string): Promise<readonly string[]> {
    if (!isAlias(alias)) return [];
    const tags: string[] = [];
    let next: URL | undefined = this.#url(alias, 'tags/list?n=100');
    for (let page = 0; next !== undefined && page < mostPages; page++) {
      const url: URL = next;
      next = await this.#send(
        { method: 'GET', url, expect: [404] },
        alias,
        'pull',
        async (answer) => {
          const body = await jsonBody(answer, this.display);
          if (answer.status === 404) return undefined;
          const { tags: some } = (body ?? {}) as { tags?: unknown };
          if (Array.isArray(some)) tags.push(...some.map(String));
          return nextLink(answer.headers['link'], url);
        },
      );
    }
    return sortedVersions(tags);
  }

  find(alias: string, version: string): Promise<FoundArtifact | undefined> {
    return this.#findAs(alias, version, 'pull');
  }

  async #findAs(
    alias: string,
    version: string,
    actions: OciActions,
  ): Promise<FoundArtifact | undefined> {
    if (!canBePublished(alias, version)) return undefined;
    const asked = {
      method: 'GET',
      url: this.#url(alias, `manifests/${version}`),
      headers: { accept: imageManifestType },
      expect: [404],
    } as const;
    return await this.#send(asked, alias, actions, async (answer) => {
      const text = (await wholeBody(answer, this.display)).toString('utf8');
      if (answer.status === 404) return undefined;
      const zip = zipOfManifest(text, version);
      if (zip === undefined) {
        throw malformed(
          this.display,
          `has under ${this.#prefix}${alias}:${version} what is no package of a module`,
        );
      }
      const { digest, size, released_at } = zip;
      const url = this.#url(alias, `blobs/${digest}`).href;
      return { url, sha256: digest, size_bytes: size, released_at };
    });
  }

  read(artifact: LockArtifact, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { http, idleTimeoutMs } = this.#parts;
    const alias = this.#aliasOf(artifact.url) ?? '';
    const asked = { method: 'GET', url: new URL(artifact.url), signal } as const;
    const request = () => this.#authorised(asked, alias, 'pull');
    const size = artifact.size_bytes;
    const bytes = resumableDownload({ http, request, size, signal, idleTimeoutMs });
    return readArtifact(this, alias, artifact, bytes);
  }

  async publish(module: PackagedModule, signal: AbortSignal): Promise<Published> {
    const { alias, version } = module;
    // A repository that is not there yet is refused to whoever asks for reading alone, by some.
    const before = await this.#findAs(alias, version, 'pull,push');
    if (before !== undefined) return this.#samePublished(module, before);
    const { blobs, manifest } = ociPackage(module, new Date());
    for (const blob of blobs) await this.#ensureBlob(alias, blob, signal);
    // A tag that is written again moves: ask once more, as late as can be.
    const meanwhile = await this.#findAs(alias, version, 'pull,push');
    if (meanwhile !== undefined) return this.#samePublished(module, meanwhile);
    const url = this.#url(alias, `manifests/${version}`);
    const headers = { 'content-type': imageManifestType };
    const asked = { method: 'PUT', url, headers, body: manifest, signal } as const;
    await this.#send(asked, alias, 'pull,push', ignoreBody);
    const artifact = await this.#findAs(alias, version, 'pull,push');
    if (artifact?.sha256 === module.sha256) return { outcome: 'published', artifact };
    if (artifact !== undefined) throw versionPublished(this.display, module, artifact);
    throw environmentFailed(
      'registry-failed',
      `${this.display} took ${alias}:${version} and does not have it`,
    );
  }

  #samePublished(module: PackagedModule, present: FoundArtifact): Published {
    if (present.sha256 === module.sha256) return { outcome: 'same', artifact: present };
    throw versionPublished(this.display, module, present);
  }

  async #ensureBlob(alias: string, blob: Blob, signal: AbortSignal): Promise<void> {
    const url = this.#url(alias, `blobs/${blob.descriptor.digest}`);
    for (let attempt = 0; ; attempt++) {
      const asked = { method: 'HEAD', url, expect: [404], signal } as const;
      const status = await this.#send(asked, alias, 'pull,push', async (answer) => {
        await ignoreBody(answer);
        return answer.status;
      });
      if (status !== 404) return;
      try {
        return await this.#upload(alias, blob, signal);
      } catch (error) {
        signal.throwIfAborted();
        const delay = this.#parts.http.delayBefore(attempt, error);
        if (attempt + 1 >= mostUploads || (delay === undefined && !isLostSession(error)))
          throw error;
        await wait(delay ?? 0, undefined, { signal });
      }
    }
  }

  /** "Pushing a blob monolithically", by POST then PUT, which every registry takes. */
  async #upload(alias: string, { descriptor, content }: Blob, signal: AbortSignal): Promise<void> {
    const start = this.#url(alias, 'blobs/uploads/');
    const begin = {
      method: 'POST',
      url: start,
      headers: { 'content-length': '0' },
      signal,
    } as const;
    const session = await this.#send(begin, alias, 'pull,push', async (answer) => {
      await ignoreBody(answer);
      return this.#sessionOf(answer);
    });
    // What is there stays as it is written: some sign it.
    const digest = `digest=${encodeURIComponent(descriptor.digest)}`;
    session.search = session.search === '' ? digest : `${session.search}&${digest}`;
    const headers = { 'content-type': 'application/octet-stream' };
    const put = {
      method: 'PUT',
      url: session,
      headers,
      body: content,
      signal,
      retries: 0,
    } as const;
    await this.#send(put, alias, 'pull,push', ignoreBody);
  }

  #sessionOf({ headers, url }: RegistryAnswer): URL {
    const location = String(headers['location'] ?? '');
    if (location === '' || !URL.canParse(location, url.href)) {
      throw malformed(this.display, 'begins an upload and names no place for it');
    }
    const session = new URL(location, url);
    const isPlainHere = isLoopback(session.hostname) && isLoopback(url.hostname);
    if (session.protocol === 'https:' || isPlainHere) return session;
    throw environmentFailed(
      'registry-redirected',
      `${this.display} wants an upload at ${redactUrl(session.href)}, expected https://`,
    );
  }

  async #send<T>(
    asked: Asked,
    alias: string,
    actions: OciActions,
    read: (answer: RegistryAnswer) => Promise<T>,
  ): Promise<T> {
    return await this.#parts.http.send(await this.#authorised(asked, alias, actions), read);
  }

  async #authorised(asked: Asked, alias: string, actions: OciActions): Promise<RegistryRequest> {
    const credentials = await this.#parts.credentials();
    const { display } = this;
    const hint = scopeHint(this.#parts.tokenVariable, credentials, actions);
    const context = { display, credentials: credentials.source, hint };
    const repository = `${this.#prefix}${alias}`;
    // An upload's place may be another server, which is no business of the token.
    if (asked.url.origin !== this.#parts.url.origin) return { ...asked, context };
    const authorization = await this.#authorization.headers(
      credentials,
      repository,
      actions,
      context,
    );
    return { ...asked, authorization, context };
  }

  #url(alias: string, rest: string): URL {
    return new URL(`/v2/${this.#prefix}${alias}/${rest}`, this.#parts.url);
  }

  #aliasOf(url: string): string | undefined {
    const base = new URL(`/v2/${this.#prefix}`, this.#parts.url).href;
    if (!url.startsWith(base)) return undefined;
    const alias = /^([a-z][a-z0-9-]*)\/blobs\/sha256:[0-9a-f]{64}$/.exec(
      url.slice(base.length),
    )?.[1];
    return alias !== undefined && isAlias(alias) ? alias : undefined;
  }
}

const repositoryPart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;

/** The upload was forgotten, or went on without what the last answer lost. */
function isLostSession(error: unknown): boolean {
  const status = error instanceof RinglockError ? error.details?.['status'] : undefined;
  return status === 404 || status === 416;
}

function scopeHint(
  tokenVariable: string,
  { source, token }: RegistryCredentials,
  actions: OciActions,
): string {
  const user = tokenVariable.replace(/_TOKEN$/, '_USER');
  const scope = actions === 'pull' ? 'read_registry' : 'read_registry and write_registry';
  const may = `may ${actions === 'pull' ? 'pull' : 'pull and push'} (GitLab: ${scope})`;
  if (token === undefined) {
    return `Set ${tokenVariable} (or ${tokenVariable}_FILE), and ${user} where the registry knows users, to what ${may}.`;
  }
  return `Check that ${source}, with the user of ${user}, is valid and ${may}.`;
}
