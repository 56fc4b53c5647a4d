import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { RinglockError } from '../../src/errors.ts';
import { onEnd } from './cleanup.ts';
import { gitEnvironment, type Repository } from './repository.ts';
import { generateKey, publicPart } from './ssh-server.ts';
import { temporaryDirectory } from './temporary.ts';

/** An SSH key pair on disk. */
export interface SshKeyFixture {
  /** Of the private key. */
  readonly path: string;
  /** `TYPE BASE64 COMMENT`, as an allowed signers file has it. */
  readonly line: string;
  /** `SHA256:…`. */
  readonly fingerprint: string;
}

export function createSshKey(t: TestContext, ...type: readonly string[]): SshKeyFixture {
  const kind = type.length > 0 ? type : ['ed25519'];
  const path = generateKey(temporaryDirectory(t, 'key'), 'id', '-t', ...kind);
  const line = publicPart(path);
  const shown = execFileSync('ssh-keygen', ['-lf', `${path}.pub`], { encoding: 'utf8' });
  return { path, line, fingerprint: shown.split(' ')[1] ?? '' };
}

/** What git needs to sign with an SSH key: options that stand before the command. */
export function sshSigning(key: SshKeyFixture): string[] {
  return ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${key.path}`, '-c', 'commit.gpgSign=true'];
}

/** A commit object as git stores it. */
export function readCommitObject(repository: Repository, oid: string): Buffer {
  return spawnSync('git', ['cat-file', 'commit', oid], {
    cwd: repository.path,
    env: gitEnvironment,
  }).stdout;
}

/** Stores a commit object, however wrong. */
export function writeCommitObject(repository: Repository, content: Uint8Array): string {
  return execFileSync('git', ['hash-object', '-t', 'commit', '-w', '--stdin', '--literally'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: content,
    encoding: 'utf8',
  }).trim();
}

/** A commit object with a signature put in where git puts it. */
export function withSignature(payload: Buffer, armored: string, header = 'gpgsig'): Buffer {
  const end = payload.indexOf('\n\n') + 1;
  const value = armored.trimEnd().replaceAll('\n', '\n ');
  return Buffer.concat([
    payload.subarray(0, end),
    Buffer.from(`${header} ${value}\n`),
    payload.subarray(end),
  ]);
}

/** An armored signature by `ssh-keygen -Y sign`. */
export function sshSign(key: SshKeyFixture, payload: Buffer, namespace = 'git'): string {
  return execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', key.path], {
    input: payload,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

/** A GnuPG home of a test's own, whose agent is ended with it. */
export interface GpgHome {
  readonly path: string;
  gpg(args: readonly string[], input?: Uint8Array | string): Buffer;
  /** Makes a key pair that signs with its primary key; returns its fingerprint. */
  createKey(name: string, ...more: readonly string[]): string;
  /** Takes the revocation in that was made with the key. */
  revoke(fingerprint: string): void;
  /** A `gpg.program` for git with options of its own. */
  program(...options: readonly string[]): string;
}

export function createGpgHome(t: TestContext): GpgHome {
  const path = temporaryDirectory(t, 'gnupg');
  chmodSync(path, 0o700);
  const env = { ...process.env, GNUPGHOME: path };
  onEnd(t, () => {
    spawnSync('gpgconf', ['--kill', 'all'], { env });
  });
  const gpg: GpgHome['gpg'] = (args, input = '') =>
    execFileSync('gpg', ['--batch', '--quiet', '--no-tty', '--passphrase', '', ...args], {
      env,
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  let programs = 0;
  return {
    path,
    gpg,
    createKey: (name, ...more) => {
      gpg([
        '--pinentry-mode',
        'loopback',
        ...more,
        '--quick-gen-key',
        name,
        'ed25519',
        'sign',
        'none',
      ]);
      const listed = gpg(['--with-colons', '--list-keys', name]).toString();
      return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
    },
    revoke: (fingerprint) => {
      const made = readFileSync(join(path, 'openpgp-revocs.d', `${fingerprint}.rev`), 'utf8');
      gpg(['--import'], made.replace(':-----BEGIN', '-----BEGIN'));
    },
    program: (...options) => {
      const file = join(path, `gpg-${programs++}`);
      writeFileSync(file, `#!/bin/sh\nGNUPGHOME=${path} exec gpg ${options.join(' ')} "$@"\n`);
      chmodSync(file, 0o755);
      return file;
    },
  };
}

/** Why a test that needs GnuPG cannot run here; with RINGLOCK_TEST_REQUIRE_ALL=1 it runs and fails. */
export function withoutGpg(): string | false {
  return withoutProgram('gpg');
}

export function withoutSshKeygen(): string | false {
  return withoutProgram('ssh-keygen');
}

function withoutProgram(name: string): string | false {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return false;
  const { error } = spawnSync(name, ['-?'], { stdio: 'ignore' });
  return error === undefined ? false : `${name} is not installed`;
}

/** Replaces a directory of mounted keys, as a rotated secret is. */
export function mountKeys(
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(directory, name), content);
}

/** `good`, or the code of a refusal. */
export async function verdictOf(verify: () => Promise<unknown>): Promise<string> {
  try {
    await verify();
    return 'good';
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    return error.code;
  }
}
