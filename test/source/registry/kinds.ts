import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RegistryKind } from '../../../src/repo/registry-settings.ts';
import {
  openRegistries,
  type RegistryOptions,
} from '../../../src/source/registry/open-registries.ts';
import type { PackagedModule, Registry } from '../../../src/source/registry/registry.ts';
import {
  dockerRegistryMissing,
  registryPassword,
  registryUser,
  startDockerRegistry,
} from '../../support/docker-registry.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { gitlabProject, serveGitlabPackages } from '../../support/gitlab-packages.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { serveWebdav } from '../../support/webdav-server.ts';

export const writeToken = 'glpat-write-0123456789abcdef';
export const readToken = 'glpat-read-0123456789abcdef';

/** One kind of registry with a real server, or a stand-in, behind it. */
export interface RegistryUnderTest {
  /** `environment` and `options` besides those that make it quick and give it a token that may write. */
  open(environment?: NodeJS.ProcessEnv, options?: RegistryOptions): Registry;
  /** Between client and server; of a directory there is none. */
  readonly proxy: FaultProxy | undefined;
  /** The settings' URL. */
  readonly url: string;
}

export interface RegistryCase {
  readonly kind: RegistryKind;
  /** Why it cannot be tested here. */
  readonly missing: string | undefined;
  start(t: TestContext): Promise<RegistryUnderTest>;
}

const quick = { retryDelayMs: 5, idleTimeoutMs: 2_000 };

const directoryCase: RegistryCase = {
  kind: 'directory',
  missing: undefined,
  start: async (t) => {
    const url = join(temporaryDirectory(t, 'packages'), 'registry');
    return { url, proxy: undefined, open: opener('directory', url, {}) };
  },
};

export const gitlabCase: RegistryCase = {
  kind: 'gitlab',
  missing: undefined,
  start: async (t) => {
    const served = await serveGitlabPackages(t, [
      { token: writeToken, kind: 'private', mayWrite: true },
      { token: readToken, kind: 'private', mayWrite: false },
    ]);
    return behindProxy(t, 'gitlab', served.url, '', { MODULE_REGISTRY_TOKEN: writeToken });
  },
};

const httpCase: RegistryCase = {
  kind: 'http',
  missing: undefined,
  start: async (t) => {
    const directory = temporaryDirectory(t, 'webdav');
    mkdirSync(join(directory, 'modules'));
    const accepted = { read: [`Bearer ${readToken}`], write: [`Bearer ${writeToken}`] };
    const url = await serveWebdav(t, directory, { accepted });
    return behindProxy(t, 'http', url, '/modules', { MODULE_REGISTRY_TOKEN: writeToken });
  },
};

const ociCase: RegistryCase = {
  kind: 'oci',
  missing: dockerRegistryMissing(),
  start: async (t) => {
    const url = await startDockerRegistry(t, 'htpasswd');
    return behindProxy(t, 'oci', url, '/acme/modules', {
      MODULE_REGISTRY_TOKEN: registryPassword,
      MODULE_REGISTRY_USER: registryUser,
    });
  },
};

export const httpCases = [gitlabCase, ociCase, httpCase];
export const everyCase = [directoryCase, ...httpCases];

async function behindProxy(
  t: TestContext,
  kind: RegistryKind,
  upstream: string,
  path: string,
  credentials: NodeJS.ProcessEnv,
): Promise<RegistryUnderTest> {
  const proxy = await startFaultProxy(t, upstream);
  const url = `${proxy.url}${path}`;
  return { proxy, url, open: opener(kind, url, credentials) };
}

function opener(
  kind: RegistryKind,
  url: string,
  credentials: NodeJS.ProcessEnv,
): RegistryUnderTest['open'] {
  return (environment = credentials, options = {}) => {
    const project = kind === 'gitlab' ? gitlabProject : undefined;
    const settings = { kind, url, project, tokenVariable: 'MODULE_REGISTRY_TOKEN' };
    const [registry] = openRegistries({ registries: [settings] }, environment, {
      ...quick,
      ...options,
    });
    if (registry === undefined) throw new Error('no registry was opened');
    return registry;
  };
}

/** A package of that many bytes, which are the same for the same text. */
export function packageOf(version: string, text = 'the bytes', size = 100_000): PackagedModule {
  const zip = Buffer.alloc(size);
  for (let at = 0, block = createHash('sha256').update(text).digest(); at < size; at += 32) {
    block.copy(zip, at);
    block = createHash('sha256').update(block).digest();
  }
  const sha256 = `sha256:${createHash('sha256').update(zip).digest('hex')}`;
  const manifest = `${JSON.stringify({ alias: 'orders', version, commit: 'c'.repeat(40) }, null, 2)}\n`;
  return { alias: 'orders', name: 'Orders', version, zip, sha256, manifest };
}

export const never = new AbortController().signal;

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
