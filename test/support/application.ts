import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** An application beside a reconciler: it loads Orders from `current` when it is told to. */
export interface TestApplication {
  readonly url: string;
  /** Versions of Orders with which it answers 503; may be changed while it runs. */
  readonly sick: Set<string>;
  /** Bodies of the notifications it got, oldest first. */
  readonly notified: Record<string, unknown>[];
  /** Answers 503 whatever it runs. */
  setDown(down: boolean): void;
  /** The version of Orders that it has loaded. */
  loaded(): string | undefined;
}

export async function serveApplication(
  t: TestContext,
  root: string,
  sick: readonly string[] = [],
): Promise<TestApplication> {
  const sickVersions = new Set(sick);
  const notified: Record<string, unknown>[] = [];
  let isDown = false;
  let version = versionOnDisk(root);
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      let body = '';
      for await (const chunk of request) body += chunk;
      notified.push(JSON.parse(body));
      version = versionOnDisk(root);
      response.end('reloaded');
      return;
    }
    version ??= versionOnDisk(root);
    const isSick = isDown || version === undefined || sickVersions.has(version);
    response.writeHead(isSick ? 503 : 200).end(version);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sick: sickVersions,
    notified,
    setDown: (down) => {
      isDown = down;
    },
    loaded: () => version,
  };
}

function versionOnDisk(root: string): string | undefined {
  try {
    return JSON.parse(readFileSync(join(root, 'current/Orders/module.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}
