import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import { freePort } from './postgres.ts';
import { temporaryDirectory } from './temporary.ts';
import { waitUntil } from './wait-until.ts';

const program = 'docker-registry';

/** Why no OCI registry can be started here; undefined when one can. */
export function dockerRegistryMissing(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  return spawnSync(program, ['--version']).error === undefined
    ? undefined
    : 'docker-registry is not installed';
}

export const registryUser = 'publisher';
export const registryPassword = 'correct horse battery';
/** bcrypt of the password: the registry takes no other, and node makes none. */
const htpasswd = `${registryUser}:$2y$05$m8yrb6FbCOyqeQ0Zb40cMuBSINCF.gKKsfrtD30Gq.Z.4jJ77bqVq`;

export interface TokenAuth {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** File with the certificate of whoever signs tokens. */
  readonly rootCertificates: string;
}

/** Debian's docker-registry (distribution) on loopback, its store in a directory of the test's own. */
export async function startDockerRegistry(
  t: TestContext,
  auth?: 'htpasswd' | TokenAuth,
): Promise<string> {
  const directory = temporaryDirectory(t, 'registry');
  const port = await freePort();
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'store') } },
    http: { addr: `127.0.0.1:${port}`, relativeurls: true },
    ...(auth !== undefined && { auth: authSection(auth, directory) }),
  };
  const file = join(directory, 'config.yml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(program, ['serve', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  onEnd(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  });
  const url = `http://127.0.0.1:${port}`;
  await waitUntil('docker-registry answers', async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${output}`);
    return await fetch(`${url}/v2/`).then(
      () => true,
      () => false,
    );
  });
  return url;
}

function authSection(auth: 'htpasswd' | TokenAuth, directory: string): object {
  if (auth === 'htpasswd') {
    const path = join(directory, 'htpasswd');
    writeFileSync(path, `${htpasswd}\n`);
    return { htpasswd: { realm: 'registry', path } };
  }
  const { realm, service, issuer, rootCertificates } = auth;
  return { token: { realm, service, issuer, rootcertbundle: rootCertificates } };
}
