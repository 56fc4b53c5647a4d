import type { IncomingMessage, ServerResponse } from 'node:http';

/** Answers a GET or HEAD as RFC 9110 has it: a range of it where one is asked for and `If-Range` holds. */
export function sendBytes(
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  etag: string,
): void {
  const from = /^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1];
  const holds = headers['if-range'] === undefined || headers['if-range'] === etag;
  const isPart = from !== undefined && holds && Number(from) < content.length;
  const part = isPart ? content.subarray(Number(from)) : content;
  response.writeHead(isPart ? 206 : 200, {
    etag,
    'accept-ranges': 'bytes',
    'content-length': part.length,
    ...(isPart && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
  });
  response.end(method === 'HEAD' ? undefined : part);
}
