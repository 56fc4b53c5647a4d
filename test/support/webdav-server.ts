import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import { sendBytes } from './send-bytes.ts';

export interface WebdavOptions {
  /** `Authorization` headers that are accepted; absent: nobody is asked. */
  readonly accepted?: { readonly read: readonly string[]; readonly write: readonly string[] };
  /** Whether it takes PUT and MKCOL. */
  readonly isReadOnly?: boolean;
  /** Whether it heeds If-Match and If-None-Match; default true. */
  readonly heedsConditions?: boolean;
}

/** Directories over HTTP as WebDAV has them (RFC 4918): a PUT below a directory that is not there is a 409. */
export async function serveWebdav(
  t: TestContext,
  directory: string,
  options: WebdavOptions = {},
): Promise<string> {
  const server = createServer((request, response) => {
    answer(directory, options, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function answer(
  directory: string,
  { accepted, isReadOnly, heedsConditions = true }: WebdavOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const end = (status: number) => void response.writeHead(status).end();
  const path = join(directory, decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname));
  const isWrite = request.method === 'PUT' || request.method === 'MKCOL';
  const { authorization = '' } = request.headers;
  if (accepted !== undefined && ![...accepted.read, ...accepted.write].includes(authorization)) {
    return end(401);
  }
  if (isWrite && accepted !== undefined && !accepted.write.includes(authorization)) return end(403);
  if (isWrite && isReadOnly) return end(405);
  const isThere = existsSync(path);
  if (request.method === 'MKCOL') {
    if (isThere) return end(405);
    if (!existsSync(dirname(path))) return end(409);
    mkdirSync(path);
    return end(201);
  }
  const isFile = isThere && statSync(path).isFile();
  if (request.method === 'PUT') {
    if (!existsSync(dirname(path))) return end(409);
    const { 'if-none-match': none, 'if-match': match } = request.headers;
    const fails = (none === '*' && isFile) || (match !== undefined && match !== etagOf(path));
    if (heedsConditions && fails) return end(412);
    writeFileSync(path, Buffer.concat(chunks));
    return end(isFile ? 204 : 201);
  }
  if (!isFile) return end(404);
  sendBytes(request, response, readFileSync(path), etagOf(path));
}

function etagOf(path: string): string {
  if (!existsSync(path)) return '""';
  return `"${createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16)}"`;
}
