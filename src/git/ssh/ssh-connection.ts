import type { Client, ClientChannel } from 'ssh2';
import { environmentFailed, RinglockError } from '../../errors.ts';
import { redactLine } from '../../redaction.ts';
import { judgeHostKey, type KnownKeys, offeredAlgorithms } from './host-key.ts';
import type { PrivateKey } from './private-key.ts';
import type { SshAddress } from './ssh-address.ts';
import { type ConnectionProgress, openingFailure } from './ssh-failures.ts';

export interface SshConnectionOptions {
  readonly address: SshAddress;
  readonly known: KnownKeys;
  readonly key: PrivateKey;
  /** How long the server may stay silent, in ms. */
  readonly idleTimeoutMs: number;
  /** Gives up opening it, also to a server that is never silent and never done. */
  readonly signal: AbortSignal | undefined;
}

/** A connection to a server whose host key is known, as a user whose key it took. */
export interface SshConnection {
  /** False once it ended, by either side. */
  readonly isOpen: boolean;
  /**
   * @param listen is called at once, since a command may have ended by the time that a promise is heard
   * @throws RinglockError `remote-failed`, `remote-timeout`, `remote-unreachable`
   */
  run<Result>(
    command: string,
    environment: Readonly<Record<string, string>>,
    listen: (channel: ClientChannel) => Result,
  ): Promise<Result>;
  /** Lets go of it, whatever runs. */
  close(): void;
}

/**
 * @throws RinglockError `host-key-unknown`, `host-key-changed`, `host-key-revoked`,
 * `remote-unauthorized`, `remote-unreachable`, `remote-timeout`, `remote-failed`
 */
export async function openSshConnection(options: SshConnectionOptions): Promise<SshConnection> {
  const { address, known, key, idleTimeoutMs, signal } = options;
  const { default: ssh2 } = await import('ssh2');
  const client = new ssh2.Client();
  const progress: ConnectionProgress = { isConnected: false, methods: [] };
  let refusal: RinglockError | undefined;
  let isTried = false;
  const ready = new Promise<void>((resolve, reject) => {
    client.once('connect', () => {
      progress.isConnected = true;
      client.setNoDelay(true);
    });
    client.once('ready', resolve);
    // It stays, since an error that nobody hears would end the process.
    client.on('error', reject);
    client.once('close', () => reject(new Error('closed')));
    client.once('timeout', () => reject(new SilenceError()));
  });
  const giveUp = () => client.destroy();
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    signal?.throwIfAborted();
    client.connect({
      host: address.host,
      port: address.port,
      username: address.user,
      timeout: idleTimeoutMs,
      readyTimeout: 0,
      algorithms: { serverHostKey: offeredAlgorithms(known) },
      hostVerifier: (shown: Buffer) => {
        refusal = judgeHostKey(shown, known);
        return refusal === undefined;
      },
      authHandler: (methods, _partial, next) => {
        if (isTried) {
          progress.methods = methods;
          next(false as never);
          return;
        }
        isTried = true;
        next({ type: 'publickey', username: address.user, key: key.key });
      },
    });
    await ready;
  } catch (error) {
    client.destroy();
    throw refusal ?? openingFailure(address, key, progress, error as Error);
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
  return connectionOf(client, address);
}

/** In the words of ssh2's own errors. */
class SilenceError extends Error {
  readonly level = 'client-timeout';
}

function connectionOf(client: Client, { display }: SshAddress): SshConnection {
  let isOpen = true;
  const ended = () => {
    isOpen = false;
  };
  client.once('end', ended).once('close', ended).once('error', ended);
  return {
    get isOpen() {
      return isOpen;
    },
    run: async (command, env, listen) => {
      let onSilence = () => {};
      try {
        return await new Promise((resolve, reject) => {
          onSilence = () =>
            reject(environmentFailed('remote-timeout', `${display} does not answer`));
          client.once('timeout', onSilence);
          client.exec(command, { env }, (error, channel) => {
            if (error === undefined) resolve(listen(channel));
            else reject(error);
          });
        });
      } catch (error) {
        if (error instanceof RinglockError) throw error;
        const reason = redactLine((error as Error).message);
        // ssh2 may know of the end before its events do.
        throw isOpen && reason !== 'Not connected'
          ? environmentFailed('remote-failed', `${display} runs no command: ${reason}`)
          : environmentFailed('remote-unreachable', `${display} ended the connection`);
      } finally {
        client.off('timeout', onSilence);
      }
    },
    close: () => {
      isOpen = false;
      client.end();
      client.destroy();
    },
  };
}
