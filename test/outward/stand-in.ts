import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';

/** A request as it came over the wire. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface StandInAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** How a request goes wrong before it is looked at; `cut` drops the connection, `hang` never answers. */
export type Fault = StandInAnswer | 'cut' | 'hang';

export interface StandIn {
  readonly url: string;
  /** Every request, also those that went wrong. */
  readonly received: Received[];
  /** One for each of the next requests. */
  readonly faults: Fault[];
}

/** A server on loopback that answers as `answer` says. */
export async function standIn(
  t: TestContext,
  answer: (request: Received) => StandInAnswer = () => ({ status: 204 }),
): Promise<StandIn> {
  const received: Received[] = [];
  const faults: Fault[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const got = { path: request.url ?? '', headers: request.headers, body };
    received.push(got);
    const fault = faults.shift();
    if (fault === 'cut') request.socket.destroy();
    else if (fault !== 'hang') send(response, fault ?? answer(got));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received, faults };
}

function send(response: ServerResponse, { status, headers = {}, body }: StandInAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
