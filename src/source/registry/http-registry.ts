import { createHash } from 'node:crypto';
import { environmentFailed, RinglockError, refused } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAlias } from '../../repo/names.ts';
import { readArtifact } from './artifact-reading.ts';
import {
  type DirectoryIndex,
  formatIndex,
  type IndexEntry,
  indexName,
  parseIndex,
} from './directory-index.ts';
import {
  canBePublished,
  filesBesideZip,
  type PackageFile,
  sortedVersions,
  versionPublished,
  zipName,
} from './package-files.ts';
import type { FoundArtifact, PackagedModule, Published, Registry } from './registry.ts';
import type { RegistryCredentials } from './registry-credentials.ts';
import {
  ignoreBody,
  type RegistryAnswer,
  type RegistryRequest,
  wholeBody,
} from './registry-http.ts';
import type { RegistryParts } from './registry-parts.ts';
import { resumableDownload } from './resumable-download.ts';

/**
 * A directory behind a web server, laid out as a local one is: read by GET, from `<alias>/index.json`;
 * published by PUT (and MKCOL) where the server takes that, as WebDAV does.
 */
export function httpRegistry(parts: RegistryParts): Registry {
  return new HttpRegistry(parts);
}

/** How often an index is written again because somebody else wrote it meanwhile. */
const mostIndexAttempts = 8;

type Asked = Pick<RegistryRequest, 'method' | 'url' | 'body' | 'headers' | 'expect' | 'signal'>;

class HttpRegistry implements Registry {
  readonly display: string;
  readonly #parts: RegistryParts;
  readonly #base: string;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#base = `${parts.url.href.replace(/\/+$/, '')}/`;
    this.display = this.#base;
  }

  owns(url: string): boolean {
    const isPlain = URL.canParse(url) && new URL(url).href === url;
    return isPlain && url.startsWith(this.#base) && !/[?#]|%2f|%5c/i.test(url);
  }

  async versions(alias: string): Promise<readonly string[]> {
    if (!isAlias(alias)) return [];
    return sortedVersions((await this.#index(alias)).index.keys());
  }

  async find(alias: string, version: string): Promise<FoundArtifact | undefined> {
    if (!canBePublished(alias, version)) return undefined;
    const entry = (await this.#index(alias)).index.get(version);
    return entry && this.#artifact(alias, version, entry);
  }

  read(artifact: LockArtifact, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { http, idleTimeoutMs } = this.#parts;
    const request = () => this.#ask({ method: 'GET', url: new URL(artifact.url), signal });
    const size = artifact.size_bytes;
    const bytes = resumableDownload({ http, request, size, signal, idleTimeoutMs });
    const alias = artifact.url.slice(this.#base.length).split('/', 1)[0] ?? '';
    return readArtifact(this, alias, artifact, bytes);
  }

  async publish(module: PackagedModule, signal: AbortSignal): Promise<Published> {
    const { alias, version, sha256 } = module;
    const present = await this.find(alias, version);
    if (present !== undefined) return this.#samePublished(module, present);
    for (const file of filesBesideZip(module)) await this.#put(module, file, signal);
    await this.#putZip(module, signal);
    const entry = {
      file: zipName(module),
      sha256,
      size_bytes: module.zip.length,
      released_at: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    };
    // Last: a version is there when the index has it.
    const written = await this.#addToIndex(module, entry, signal);
    const artifact = this.#artifact(alias, version, written);
    return written === entry
      ? { outcome: 'published', artifact }
      : this.#samePublished(module, artifact);
  }

  #samePublished(module: PackagedModule, present: FoundArtifact): Published {
    if (present.sha256 === module.sha256) return { outcome: 'same', artifact: present };
    throw versionPublished(this.display, module, present);
  }

  #artifact(alias: string, version: string, entry: IndexEntry): FoundArtifact {
    const { file, sha256, size_bytes, released_at } = entry;
    return { url: `${this.#base}${alias}/${version}/${file}`, sha256, size_bytes, released_at };
  }

  /** Whoever writes the zip first has the version, also where it came no further than that. */
  async #putZip(module: PackagedModule, signal: AbortSignal): Promise<void> {
    const name = zipName(module);
    const url = this.#fileUrl(module, name);
    const already = await this.#digestAt(url, signal);
    const zip = { name, mediaType: 'application/zip', content: module.zip };
    const isFirst =
      already === undefined && (await this.#put(module, zip, signal, { 'if-none-match': '*' }));
    // Read back: whatever stands between may have kept something else.
    const found = already ?? (await this.#digestAt(url, signal)) ?? 'nothing';
    if (found === module.sha256) return;
    if (!isFirst) throw versionPublished(this.display, module, { sha256: found });
    throw environmentFailed(
      'registry-failed',
      `${url.href} is not what was put there: found ${found}, expected ${module.sha256}`,
      { hint: 'Delete it there, see what the server does to uploads, and run the same again.' },
    );
  }

  async #digestAt(url: URL, signal: AbortSignal): Promise<string | undefined> {
    const asked = await this.#ask({ method: 'GET', url, expect: [404, 410], signal });
    return await this.#parts.http.send({ ...asked, isLarge: true }, async (answer) => {
      const content = await wholeBody(answer, this.display, 2 ** 31);
      if (answer.status >= 400) return undefined;
      return `sha256:${createHash('sha256').update(content).digest('hex')}`;
    });
  }

  /** @returns whether it was written; false where a condition did not hold */
  async #put(
    { alias, version }: PackagedModule,
    { name, mediaType, content }: PackageFile,
    signal: AbortSignal,
    conditions: Readonly<Record<string, string>> = {},
  ): Promise<boolean> {
    const url = this.#fileUrl({ alias, version }, name);
    const headers = { 'content-type': mediaType, ...conditions };
    const asked = { method: 'PUT', url, body: content, headers, signal } as const;
    // Without their collections WebDAV says 409, some servers 404.
    const status = await this.#status({ ...asked, expect: [404, 409, 412] });
    if (status !== 404 && status !== 409) return status !== 412;
    for (const folder of [`${alias}/`, `${alias}/${version}/`]) {
      const collection = new URL(`${this.#base}${folder}`);
      // 405: it is there.
      await this.#status({ method: 'MKCOL', url: collection, expect: [405], signal });
    }
    return (await this.#status({ ...asked, expect: [412] })) !== 412;
  }

  async #status(asked: Asked): Promise<number> {
    try {
      return await this.#parts.http.send(await this.#ask(asked, true), async (answer) => {
        await ignoreBody(answer);
        return answer.status;
      });
    } catch (error) {
      const status = error instanceof RinglockError ? error.details?.['status'] : undefined;
      if (asked.method === 'GET' || (status !== 405 && status !== 501)) throw error;
      throw environmentFailed(
        'registry-read-only',
        `${this.display} takes no ${asked.method} (${status})`,
        {
          hint: 'Release into the directory that it gives out (kind: directory), or have the server take PUT (WebDAV).',
        },
      );
    }
  }

  /** @returns the version's entry as it is there: this one, or that of whoever came first */
  async #addToIndex(
    { alias, version }: PackagedModule,
    entry: IndexEntry,
    signal: AbortSignal,
  ): Promise<IndexEntry> {
    const url = new URL(`${this.#base}${alias}/${indexName}`);
    let condition: Readonly<Record<string, string>> | undefined;
    for (let attempt = 0; attempt < mostIndexAttempts; attempt++) {
      const { index, etag, isThere } = await this.#index(alias);
      const present = index.get(version);
      // Read back after it was written too: not every server heeds conditions.
      if (present !== undefined) {
        return condition !== undefined && isSameEntry(present, entry) ? entry : present;
      }
      condition = !isThere ? { 'if-none-match': '*' } : etag ? { 'if-match': etag } : {};
      const body = formatIndex(new Map([...index, [version, entry]]));
      const headers = { 'content-type': 'application/json', ...condition };
      await this.#status({ method: 'PUT', url, body, headers, expect: [412], signal });
    }
    throw environmentFailed('registry-busy', `${url.href} changes all the time`, {
      hint: 'Run the same again later: what is done is not done twice.',
    });
  }

  async #index(
    alias: string,
  ): Promise<{ index: DirectoryIndex; etag: string | undefined; isThere: boolean }> {
    const url = new URL(`${this.#base}${alias}/${indexName}`);
    const headers = { 'cache-control': 'no-cache' };
    const asked = await this.#ask({ method: 'GET', url, headers, expect: [404, 410] });
    return await this.#parts.http.send(asked, async (answer) => {
      const text = (await wholeBody(answer, this.display)).toString('utf8');
      if (answer.status >= 400) return { index: new Map(), etag: undefined, isThere: false };
      return { index: parseIndex(text, url.href), etag: strongEtag(answer), isThere: true };
    });
  }

  #fileUrl({ alias, version }: Pick<PackagedModule, 'alias' | 'version'>, file: string): URL {
    if (!canBePublished(alias, version)) {
      throw refused('invalid-package', `${alias} ${version} has no place in a registry`);
    }
    return new URL(`${this.#base}${alias}/${version}/${file}`);
  }

  async #ask(request: Asked, forWriting = false): Promise<RegistryRequest> {
    const credentials = await this.#parts.credentials();
    const { tokenVariable } = this.#parts;
    const may = forWriting ? 'write (PUT) there' : 'read there';
    const hint = `Set ${tokenVariable} (or ${tokenVariable}_FILE) to a token that may ${may}; with ${tokenVariable.replace(/_TOKEN$/, '_USER')} it is the password of that user, else a bearer token.`;
    const context = { display: this.display, credentials: credentials.source, hint };
    return { ...request, authorization: authorizationOf(credentials), context };
  }
}

function isSameEntry(a: IndexEntry, b: IndexEntry): boolean {
  return a.file === b.file && a.sha256 === b.sha256 && a.released_at === b.released_at;
}

function strongEtag({ headers }: RegistryAnswer): string | undefined {
  const etag = headers['etag'];
  return typeof etag === 'string' && etag.startsWith('"') ? etag : undefined;
}

function authorizationOf({ token, user }: RegistryCredentials): Readonly<Record<string, string>> {
  if (token === undefined) return {};
  if (user === undefined) return { authorization: `Bearer ${token}` };
  return { authorization: `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}` };
}
