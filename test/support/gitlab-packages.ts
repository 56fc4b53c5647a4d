import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import { sendBytes } from './send-bytes.ts';

/** A token as GitLab knows it, and where it is accepted. */
export interface GitlabToken {
  readonly token: string;
  readonly kind: 'private' | 'deploy' | 'job';
  readonly mayWrite: boolean;
  /** Of a deploy token. */
  readonly user?: string;
}

interface StoredFile {
  readonly id: number;
  readonly packageId: number;
  readonly name: string;
  readonly version: string;
  readonly file: string;
  readonly content: Buffer;
  readonly createdAt: string;
}

/**
 * GitLab's generic package registry as far as its documentation goes: docs.gitlab.com, "GitLab generic
 * packages repository" (publish, download, tokens) and "Packages API" (list packages, list package files,
 * pagination). The same name again is kept beside the old one, and the newest is given out.
 */
export interface GitlabPackages {
  readonly url: string;
  readonly files: StoredFile[];
  /** Packages a page, whatever is asked for. */
  pageSize: number;
}

export const gitlabProject = 'acme/modules';

export async function serveGitlabPackages(
  t: TestContext,
  tokens: readonly GitlabToken[],
): Promise<GitlabPackages> {
  const served: { -readonly [K in keyof GitlabPackages]: GitlabPackages[K] } = {
    url: '',
    files: [],
    pageSize: 100,
  };
  const server = createServer((request, response) => {
    answer(served, tokens, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  served.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return served;
}

async function answer(
  served: GitlabPackages,
  tokens: readonly GitlabToken[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const say = (status: number, message: string) => json(response, status, { message });
  const token = tokens.find((each) => isSent(each, request.headers));
  if (token === undefined) return say(401, '401 Unauthorized');
  const url = new URL(request.url ?? '', 'http://gitlab');
  const [, project, rest = ''] =
    /^\/api\/v4\/projects\/([^/]+)\/packages(.*)$/.exec(url.pathname) ?? [];
  if (decodeURIComponent(project ?? '') !== gitlabProject) return say(404, '404 Project Not Found');
  if (rest === '') return listPackages(served, url, response);
  const id = /^\/(\d+)\/package_files$/.exec(rest)?.[1];
  if (id !== undefined) return listFiles(served, Number(id), response);
  const generic = /^\/generic\/([A-Za-z0-9._-]+)\/([A-Za-z0-9._~+-]+)\/([A-Za-z0-9._-]+)$/.exec(
    rest,
  );
  const [, name = '', version = '', file = ''] = generic ?? [];
  if (generic === null) return say(404, '404 Not Found');
  if (request.method === 'PUT') {
    if (!token.mayWrite) return say(403, '403 Forbidden');
    store(served, name, version, file, Buffer.concat(chunks));
    return say(201, '201 Created');
  }
  const found = served.files.findLast(
    (each) => each.name === name && each.version === version && each.file === file,
  );
  if (found === undefined) return say(404, '404 Not Found');
  sendBytes(request, response, found.content, `"${digest(found.content)}"`);
}

function isSent({ token, kind, user }: GitlabToken, headers: IncomingMessage['headers']): boolean {
  const basic = (name: string) => `Basic ${Buffer.from(`${name}:${token}`).toString('base64')}`;
  if (kind === 'private') {
    return headers['private-token'] === token || headers.authorization === `Bearer ${token}`;
  }
  if (kind === 'deploy') {
    return headers['deploy-token'] === token || headers.authorization === basic(user ?? '');
  }
  return headers['job-token'] === token || headers.authorization === basic('gitlab-ci-token');
}

export function store(
  served: GitlabPackages,
  name: string,
  version: string,
  file: string,
  content: Buffer,
): void {
  const same = served.files.find((each) => each.name === name && each.version === version);
  const packageId = same?.packageId ?? served.files.length + 1000;
  const createdAt = new Date().toISOString();
  const id = served.files.length + 1;
  served.files.push({ id, packageId, name, version, file, content, createdAt });
}

function listPackages(served: GitlabPackages, url: URL, response: ServerResponse): void {
  const name = url.searchParams.get('package_name') ?? '';
  const ids = new Map(
    served.files.filter((each) => each.name.includes(name)).map((each) => [each.packageId, each]),
  );
  const all = [...ids.values()].map(({ packageId, name: itsName, version }) => ({
    ...{ id: packageId, name: itsName, version, package_type: 'generic', status: 'default' },
  }));
  const size = Math.min(served.pageSize, Number(url.searchParams.get('per_page') ?? 20));
  const page = Number(url.searchParams.get('page') ?? 1);
  const next = page * size < all.length ? String(page + 1) : '';
  json(response, 200, all.slice((page - 1) * size, page * size), { 'x-next-page': next });
}

function listFiles({ files }: GitlabPackages, id: number, response: ServerResponse): void {
  const found = files.filter(({ packageId }) => packageId === id);
  if (found.length === 0) {
    json(response, 404, { message: '404 Package Not Found' });
    return;
  }
  json(
    response,
    200,
    found.map(({ id: fileId, file, content, createdAt }) => ({
      ...{ id: fileId, package_id: id, created_at: createdAt, file_name: file },
      ...{ size: content.length, file_sha256: digest(content) },
    })),
    { 'x-next-page': '' },
  );
}

function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
