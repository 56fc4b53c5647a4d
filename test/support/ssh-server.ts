import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from './postgres.ts';
import { waitUntil } from './wait-until.ts';

export type HostKeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** A real sshd on loopback that lets this user in with the key of `keyFile`. */
export interface SshServer {
  /** `ssh://user@127.0.0.1:port`; a repository's path follows. */
  readonly url: string;
  readonly port: number;
  readonly user: string;
  /** Its directory, for files of the tests; it goes with the server. */
  readonly directory: string;
  readonly keyFile: string;
  /** A known_hosts file with all its host keys. */
  readonly knownHostsFile: string;
  /** A host key as known_hosts and authorized_keys have it: `ssh-ed25519 AAAA…`. */
  hostKey(type: HostKeyType): string;
  /** Lets in whoever has one of these public keys, and nobody else; the key of `keyFile` by default. */
  authorize(...publicKeys: readonly string[]): void;
  /**
   * Has the account run a shell script in place of what it is asked for (`$SSH_ORIGINAL_COMMAND`), as
   * forges do; undefined ends that.
   */
  answerWith(script: string | undefined): void;
  /** What sshd has written so far. */
  log(): string;
  stop(): Promise<void>;
}

/** Where sshd is: it wants to be called by its whole path. */
function findSshd(): string | undefined {
  const directories = [
    '/usr/sbin',
    '/usr/local/sbin',
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  return directories.map((directory) => join(directory, 'sshd')).find((path) => existsSync(path));
}

/** Why no sshd can be started here; undefined when one can. */
export function sshdMissing(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  return findSshd() === undefined ? 'sshd (openssh-server) is not installed' : undefined;
}

/** @returns the key's file; its public part is beside it, with `.pub` */
export function generateKey(directory: string, name: string, ...options: string[]): string {
  const path = join(directory, name);
  const quietly = options.includes('-N') ? [] : ['-N', ''];
  execFileSync('ssh-keygen', ['-q', '-f', path, '-C', 'test', ...quietly, ...options]);
  return path;
}

/** The public part of a key of generateKey(). */
export function publicPart(keyFile: string): string {
  return readFileSync(`${keyFile}.pub`, 'utf8').trim();
}

/** @param options.acceptEnv whether GIT_PROTOCOL is let through; by default it is */
export async function startSshServer({ acceptEnv = true } = {}): Promise<SshServer> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-sshd-'));
  const file = (name: string) => join(directory, name);
  generateKey(directory, 'ed25519', '-t', 'ed25519');
  generateKey(directory, 'ecdsa', '-t', 'ecdsa');
  generateKey(directory, 'rsa', '-t', 'rsa', '-b', '2048'); // as short as is taken: it is made for every server
  const keyFile = generateKey(directory, 'user', '-t', 'ed25519');
  const port = await freePort();
  const { username } = userInfo();
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    ...['ed25519', 'ecdsa', 'rsa'].map((type) => `HostKey ${file(type)}`),
    `AuthorizedKeysFile ${file('authorized_keys')}`,
    ...(acceptEnv ? ['AcceptEnv GIT_PROTOCOL'] : []),
    // bash reads no .bashrc of this account then: it costs time, and may write something.
    'SetEnv SHLVL=2',
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'LogLevel VERBOSE',
  ];
  writeFileSync(file('sshd_config'), `${lines.join('\n')}\n`);
  // Where sshd, run as root, locks its helper in.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn(findSshd() ?? 'sshd', ['-D', '-e', '-f', file('sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const stop = () => stopServer(child, directory);
  try {
    await waitUntil('sshd listens', () => {
      if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${log}`);
      return log.includes('Server listening');
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const hostKey = (type: HostKeyType) => publicPart(file(type)).split(' ', 2).join(' ');
  const knownLines = (['ed25519', 'ecdsa', 'rsa'] as const).map(
    (type) => `[127.0.0.1]:${port} ${hostKey(type)}\n`,
  );
  writeFileSync(file('known_hosts'), knownLines.join(''));
  let authorized: readonly string[] = [publicPart(keyFile)];
  let script: string | undefined;
  const write = () => {
    if (script !== undefined) writeFileSync(file('answer.sh'), `${script}\n`);
    const forced = script === undefined ? '' : `command="/bin/sh ${file('answer.sh')}" `;
    writeFileSync(file('authorized_keys'), authorized.map((key) => `${forced}${key}\n`).join(''));
  };
  write();
  return {
    url: `ssh://${username}@127.0.0.1:${port}`,
    port,
    user: username,
    directory,
    keyFile,
    knownHostsFile: file('known_hosts'),
    hostKey,
    authorize: (...publicKeys) => {
      authorized = publicKeys.length === 0 ? [publicPart(keyFile)] : publicKeys;
      write();
    },
    answerWith: (next) => {
      script = next;
      write();
    },
    log: () => log,
    stop,
  };
}

async function stopServer(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
  rmSync(directory, { recursive: true, force: true });
}
