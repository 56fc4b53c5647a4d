import { environmentFailed, type RinglockError } from '../../errors.ts';
import { redactLine } from '../../redaction.ts';
import { connectionFailure } from '../http-failures.ts';
import type { PrivateKey } from './private-key.ts';
import type { SshAddress } from './ssh-address.ts';

/** How far a connection came before it failed. */
export interface ConnectionProgress {
  /** The server took the connection. */
  isConnected: boolean;
  /** What the server would take in place of the key that it refused. */
  methods: readonly string[];
}

/** What it means that no connection came about. */
export function openingFailure(
  { display, user }: SshAddress,
  key: PrivateKey,
  progress: ConnectionProgress,
  error: Error & { level?: string },
): unknown {
  const cause = { cause: error };
  const reason = redactLine(error.message);
  switch (error.level) {
    case 'client-socket':
      if (!progress.isConnected) return connectionFailure(display, error, undefined);
      break;
    case 'client-timeout': {
      if (progress.isConnected) {
        return environmentFailed('remote-timeout', `${display} does not answer`, cause);
      }
      return environmentFailed('remote-unreachable', `${display} cannot be reached in time`, cause);
    }
    case 'client-authentication':
      return keyRefused(display, user, key, progress.methods);
    case 'handshake':
      return environmentFailed(
        'remote-failed',
        `${display} and ringlock agree on no way to speak: ${reason}`,
        {
          hint: 'The server has to be one of SSH 2 that signs with more than SHA-1: OpenSSH 7.2 or later does.',
          ...cause,
        },
      );
  }
  return environmentFailed(
    'remote-unreachable',
    `${display} ended the connection before it was ready: ${reason}`,
    { hint: 'A server that is busy refuses new connections for a while (MaxStartups).', ...cause },
  );
}

function keyRefused(
  display: string,
  user: string,
  { fingerprint, file, key }: PrivateKey,
  methods: readonly string[],
): RinglockError {
  const others = methods.filter((method) => method !== 'publickey');
  const takesNoKey = methods.length > 0 && !methods.includes('publickey');
  return environmentFailed(
    'remote-unauthorized',
    `${display} refuses the user ${JSON.stringify(user)} with the key ${key.type} ${fingerprint} of ${file}`,
    {
      hint: takesNoKey
        ? `The server takes no keys at all, only ${redactLine(others.join(', '))}.`
        : `Let it read the repository, as a deploy key or in authorized_keys: ssh-keygen -y -f ${file} prints its public part.`,
    },
  );
}

/** How git-upload-pack ended on the server. */
export interface ProcessEnd {
  /** Undefined when the connection was lost before it was said. */
  readonly code: number | null | undefined;
  readonly signal: string | undefined;
  readonly stderr: string;
}

/** What it means that git-upload-pack failed. */
export function processFailure(
  { display, user }: SshAddress,
  { code, signal, stderr }: ProcessEnd,
): RinglockError {
  const said = saidOn(stderr);
  const why = said === '' ? '' : `: ${said}`;
  if (code === 127 || /command not found/i.test(said)) {
    return environmentFailed('remote-not-git', `${display} has no git-upload-pack${why}`, {
      hint: `git has to be installed there, and in the PATH that ${user} has without a terminal.`,
    });
  }
  if (/does not appear to be a git repo|not found|not be found|does not exist/i.test(said)) {
    return environmentFailed(
      'remote-not-found',
      `${display} is no repository, or one that ${user} may not see with this key${why}`,
    );
  }
  if (/permission|denied|not allowed|unauthori[sz]ed/i.test(said)) {
    return environmentFailed('remote-unauthorized', `${display} refuses ${user}${why}`);
  }
  const how = code === null ? `was ended by ${signal ?? 'a signal'}` : `ended with ${code}`;
  return environmentFailed('remote-failed', `git-upload-pack of ${display} ${how}${why}`);
}

/** What a server wrote, without credentials, control characters, or the rules that forges draw around it. */
function saidOn(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^remote: ?/, '').trim())
    .filter((line) => /[a-z0-9]/i.test(line));
  return redactLine(lines.slice(-5).join(' '));
}

/** The account's shell, or what stands in its place, says something that is not git's. */
export function noiseInsteadOfGit({ display, user }: SshAddress, start: string): RinglockError {
  const shown = JSON.stringify(redactLine(start, 100));
  return environmentFailed(
    'remote-not-git',
    `${display} answers with ${shown}, expected what git-upload-pack writes`,
    {
      hint: `Its account ${user} has to run git-upload-pack without writing anything before: look at its shell and the shell's start-up files.`,
    },
  );
}
