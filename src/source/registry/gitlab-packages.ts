import { nextLink } from './link-header.ts';
import {
  jsonBody,
  malformed,
  type RegistryAnswer,
  type RegistryHttp,
  type RegistryRequest,
} from './registry-http.ts';

/** Makes a request to GitLab's API of it; `forWriting` chooses the scope that a refusal names. */
export type AskGitlab = (
  request: Pick<RegistryRequest, 'method' | 'url' | 'body' | 'headers' | 'expect' | 'signal'>,
  forWriting?: boolean,
) => Promise<RegistryRequest>;

export interface GitlabAccess {
  readonly http: RegistryHttp;
  readonly ask: AskGitlab;
  readonly display: string;
}

export interface StoredPackage {
  readonly id: number;
  readonly version: string;
}

export interface StoredFile {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  /** `sha256:<hex>`. */
  readonly sha256: string;
  /** RFC 3339. */
  readonly createdAt: string | null;
}

/** A project of the largest platform has fewer; a server that always names a next page ends there. */
const mostPages = 1000;

/**
 * The versions of a generic package ("List packages for a project").
 *
 * @param project its URL in the API
 */
export async function listPackages(
  access: GitlabAccess,
  project: URL,
  name: string,
): Promise<readonly StoredPackage[]> {
  const url = new URL(`${project.href}/packages`);
  // The name is searched for, not matched: others that have it in them come along.
  const query = { package_type: 'generic', package_name: name, per_page: '100' };
  url.search = new URLSearchParams(query).toString();
  const found: StoredPackage[] = [];
  for (const item of await allPages(access, url)) {
    const { id, name: itsName, version, status = 'default' } = item as GitlabPackage;
    const isThere = status === 'default' || status === 'hidden';
    if (itsName !== name || !isThere) continue;
    if (typeof id === 'number' && typeof version === 'string') found.push({ id, version });
  }
  return found;
}

/** The files of a package ("List package files"). */
export async function listFiles(
  access: GitlabAccess,
  project: URL,
  id: number,
): Promise<readonly StoredFile[]> {
  const url = new URL(`${project.href}/packages/${id}/package_files`);
  url.search = new URLSearchParams({ per_page: '100' }).toString();
  return (await allPages(access, url)).map((item) => {
    const { id: fileId, file_name, size, file_sha256, created_at } = item as GitlabFile;
    const isWhole =
      typeof fileId === 'number' && typeof file_name === 'string' && typeof size === 'number';
    if (!isWhole || !/^[0-9a-f]{64}$/.test(file_sha256 ?? '')) {
      throw malformed(access.display, 'lists a package file without id, name, size or sha256');
    }
    const date = new Date(created_at ?? '');
    const createdAt = Number.isNaN(date.getTime())
      ? null
      : date.toISOString().replace(/\.\d+Z$/, 'Z');
    return { id: fileId, name: file_name, size, sha256: `sha256:${file_sha256}`, createdAt };
  });
}

interface GitlabPackage {
  readonly id?: unknown;
  readonly name?: unknown;
  readonly version?: unknown;
  readonly status?: string;
}

interface GitlabFile {
  readonly id?: unknown;
  readonly file_name?: string;
  readonly size?: number;
  readonly file_sha256?: string;
  readonly created_at?: string;
}

/** Every item of a listing; pages are named by `Link` or by `x-next-page` ("Pagination"). */
async function allPages(access: GitlabAccess, first: URL): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let next: URL | undefined = first;
  for (let page = 0; next !== undefined && page < mostPages; page++) {
    const url: URL = next;
    const asked = await access.ask({ method: 'GET', url });
    const { list, after } = await access.http.send(asked, async (answer) => ({
      list: await jsonBody(answer, access.display),
      after: nextPage(answer, url),
    }));
    if (!Array.isArray(list)) throw malformed(access.display, 'answers a listing with no list');
    items.push(...list);
    next = after;
  }
  return items;
}

function nextPage({ headers }: RegistryAnswer, url: URL): URL | undefined {
  const number = headers['x-next-page'];
  const next = new URL(url);
  if (typeof number === 'string' && /^\d+$/.test(number)) {
    next.searchParams.set('page', number);
    return next;
  }
  return nextLink(headers['link'], url);
}
