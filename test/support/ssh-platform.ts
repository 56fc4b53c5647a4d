import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RemoteOptions } from '../../src/git/open-remote.ts';
import type { Remote } from '../../src/git/remote.ts';
import { onEnd } from './cleanup.ts';
import { type ServedRepository, serveRepository } from './served-repository.ts';
import { type SshServer, startSshServer } from './ssh-server.ts';

type SshOptions = NonNullable<RemoteOptions['ssh']>;

/** A published platform of two modules that a real sshd serves. */
export interface SshPlatform extends ServedRepository {
  readonly sshd: SshServer;
  readonly tip: string;
  /** The tree of modules/Orders. */
  readonly orders: string;
  /** Opens it over SSH; closed when the test ends. */
  open(
    options?: SshOptions & Pick<RemoteOptions, 'idleTimeoutMs' | 'signal'>,
    url?: string,
  ): Remote;
  /** Writes a file beside the server's own, which nobody else reads. */
  file(name: string, content: string): string;
  /** What sshd has let in and run so far. */
  sessions(): { readonly logins: number; readonly commands: number };
}

/** @param running the server; by default one is started for the test */
export async function serveOverSsh(t: TestContext, running?: SshServer): Promise<SshPlatform> {
  const sshd = running ?? (await startSshServer());
  if (running === undefined) onEnd(t, () => sshd.stop());
  const served = await serveRepository(t);
  const tip = served.repository.commit('Start', {
    'modules/Orders/module.json': '{"alias": "orders"}\n',
    'modules/Orders/src/orders.php': '<?php // orders\n',
    'modules/Products/module.json': '{"alias": "products"}\n',
  });
  served.publish();
  execFileSync('git', ['-C', served.bare, 'config', 'uploadpack.allowFilter', 'true']);
  const { keyFile, knownHostsFile } = sshd;
  return {
    ...served,
    sshd,
    tip,
    orders: served.repository.git('rev-parse', 'HEAD:modules/Orders'),
    open: ({ idleTimeoutMs, signal, ...ssh } = {}, url = `${sshd.url}${served.bare}`) =>
      served.remote({ idleTimeoutMs, signal, ssh: { keyFile, knownHostsFile, ...ssh } }, url),
    file: (name, content) => {
      const path = join(sshd.directory, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    },
    sessions: () => {
      const count = (pattern: RegExp) => sshd.log().match(pattern)?.length ?? 0;
      return { logins: count(/Accepted publickey/g), commands: count(/Starting session/g) };
    },
  };
}
