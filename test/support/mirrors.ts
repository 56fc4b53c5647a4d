import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type CliResult, runCli } from './cli.ts';
import { type GitServer, serveGit } from './git-server.ts';
import { createPlatform, type ModuleFixture, type Platform, writeLocks } from './platform.ts';
import { gitEnvironment } from './repository.ts';
import { temporaryDirectory } from './temporary.ts';

export const mirrorToken = 'glpat-Nq7_mirror/push+token';

/** A platform whose modules have mirrors behind a server that lets in who has the token. */
export interface MirroredPlatform {
  readonly platform: Platform;
  readonly server: GitServer;
  /** Runs `ringlock mirror` with the token. */
  mirror(...args: string[]): Promise<CliResult>;
  /** git in a module's bare mirror. */
  git(alias: string, ...args: string[]): string;
  /** Makes the bare repository of a mirror. @returns its URL */
  addMirror(name: string): string;
  /** The argument lists of every git that ringlock started. */
  argumentLists(): string;
}

const mirroredModules: readonly ModuleFixture[] = [
  { directory: 'Orders', alias: 'orders', version: '1.0.0' },
  { directory: 'Products', alias: 'products', version: '1.2.0' },
];

export async function mirrorPlatform(
  t: TestContext,
  modules: readonly ModuleFixture[] = mirroredModules,
): Promise<MirroredPlatform> {
  const served = temporaryDirectory(t, 'mirrors');
  const server = await serveGit(t, served, {
    auth: { user: 'oauth2', password: mirrorToken },
    config: { 'http.receivepack': 'true' },
  });
  const addMirror = (name: string): string => {
    const path = join(served, `${name}.git`);
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
    return `${server.url}/${name}.git`;
  };
  const platform = createPlatform(t, { rings: ['canary'], modules });
  for (const { directory, alias, version } of modules) {
    platform.setVersion(directory, version, { repository: { url: addMirror(alias) } });
  }
  platform.git('add', '-A');
  writeLocks(platform, platform.rings);
  platform.commit('Name the mirrors');
  const { log, environment } = recordGit(t);
  return {
    ...{ platform, server, addMirror },
    mirror: (...args) =>
      runCli(platform.path, ['mirror', ...args], {
        MIRROR_PUSH_TOKEN: mirrorToken,
        ...environment,
      }),
    git: (name, ...args) =>
      execFileSync('git', args, {
        cwd: join(served, `${name}.git`),
        env: gitEnvironment,
        encoding: 'utf8',
      }).trimEnd(),
    argumentLists: () => (existsSync(log) ? readFileSync(log, 'utf8') : ''),
  };
}

/** A `git` before the real one in PATH that writes down what it is called with. */
export function recordGit(t: TestContext): { log: string; environment: NodeJS.ProcessEnv } {
  const directory = temporaryDirectory(t, 'bin');
  const log = join(directory, 'arguments');
  const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  const script = join(directory, 'git');
  writeFileSync(script, `#!/bin/sh\necho "$*" >> '${log}'\nexec '${real}' "$@"\n`);
  chmodSync(script, 0o755);
  return { log, environment: { PATH: `${directory}:${process.env['PATH']}` } };
}
