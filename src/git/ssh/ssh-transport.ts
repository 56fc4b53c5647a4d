import { badInput, environmentFailed } from '../../errors.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { type Packet, packetText } from '../pkt-line.ts';
import type { Traffic, Transport, UploadPackRequest } from '../transport.ts';
import { refuseErrorPacket } from '../upload-pack.ts';
import { knownKeys } from './host-key.ts';
import { parseKnownHosts } from './known-hosts.ts';
import { readMountedFile } from './mounted-file.ts';
import { type PrivateKey, privateKeyReader } from './private-key.ts';
import { parseSshAddress, type SshAddress, uploadPackCommand } from './ssh-address.ts';
import { openSshConnection, type SshConnection } from './ssh-connection.ts';
import { UploadPackProcess } from './upload-pack-process.ts';

/** Both files are read before every connection, so that what is rotated is taken. */
export interface SshOptions {
  readonly keyFile?: string | undefined;
  readonly knownHostsFile?: string | undefined;
  readonly passphrase?: (() => Promise<string | undefined>) | undefined;
  /** Told what is no reason to stop, once each. */
  readonly warn?: ((message: string) => void) | undefined;
  /** How long the server may stay silent, and a connection may take; default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Ends what is asked; read whenever the server is waited for, so that it may be another each time. */
  readonly signal?: (() => AbortSignal) | undefined;
  /** Counts requests and bytes, also of another transport with the same one. */
  readonly traffic?: Traffic | undefined;
  /** How long a connection is kept that nothing is asked on; default 2,000. */
  readonly lingerMs?: number | undefined;
}

/**
 * git over SSH: `git-upload-pack` on the server, one process for what a pass asks in version 2. It and
 * its connection end when nothing was asked for a moment, so that a server with many sidecars keeps none
 * of them between two passes.
 */
export class SshTransport implements Transport {
  readonly display: string;
  readonly traffic: Traffic;
  readonly #address: SshAddress;
  readonly #knownHostsFile: string;
  readonly #readKey: () => Promise<PrivateKey>;
  readonly #warn: (message: string) => void;
  readonly #idleTimeoutMs: number;
  readonly #lingerMs: number;
  readonly #signal: (() => AbortSignal) | undefined;
  #connection: Promise<SshConnection> | undefined;
  /** A process whose advertisement is read and that waits for a request. */
  #waiting: UploadPackProcess | undefined;
  #busy = 0;
  /** Something did not go well on the connection, so it is not kept. */
  #isDoubtful = false;
  #lingering: NodeJS.Timeout | undefined;

  /** @throws RinglockError `unsupported-url`, `ssh-key-not-given`, `known-hosts-not-given` */
  constructor(url: string, options: SshOptions) {
    const { keyFile, knownHostsFile, passphrase = async () => undefined, warn } = options;
    this.traffic = options.traffic ?? { requests: 0, bytes: 0 };
    this.#address = parseSshAddress(url);
    this.display = this.#address.display;
    if (keyFile === undefined) {
      throw badInput(
        'ssh-key-not-given',
        `${this.display} is reached with a key, and none was given`,
        {
          hint: 'Give --ssh-key FILE, or set RINGLOCK_SSH_KEY_FILE.',
        },
      );
    }
    if (knownHostsFile === undefined) {
      throw badInput(
        'known-hosts-not-given',
        `${this.display} can be told from another server only by its host key, and no known_hosts file was given`,
        {
          hint: 'Give --known-hosts FILE, or set RINGLOCK_KNOWN_HOSTS_FILE: the lines that ssh-keyscan prints, once their fingerprints are compared.',
        },
      );
    }
    this.#warn = once(warn ?? (() => {}));
    this.#knownHostsFile = knownHostsFile;
    this.#readKey = privateKeyReader({ file: keyFile, passphrase, warn: this.#warn });
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 30_000;
    this.#lingerMs = options.lingerMs ?? 2_000;
    this.#signal = options.signal;
  }

  async advertisement(): Promise<AsyncGenerator<Packet>> {
    const running = await this.#start();
    return running.response((isWhole) => this.#finished(running, isWhole));
  }

  async uploadPack(request: UploadPackRequest): Promise<AsyncGenerator<Packet>> {
    const { version, readsRefs = false } = request;
    const running = this.#takeWaiting(readsRefs) ?? (await this.#startAs(version));
    this.traffic.requests += 1;
    running.write(request.body);
    return version === 2
      ? running.response((isWhole) => this.#finished(running, isWhole))
      : running.rest((isWhole) => this.#finished(running, isWhole));
  }

  async close(): Promise<void> {
    clearTimeout(this.#lingering);
    this.#waiting?.end();
    this.#waiting = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#isDoubtful = false;
    (await connection?.catch(() => undefined))?.close();
  }

  /** Starts a process and reads what it advertises, which has to be what was advertised before. */
  async #startAs(version: 0 | 2): Promise<UploadPackProcess> {
    const running = await this.#start();
    let advertised: 0 | 2 | undefined;
    const packets = running.response((isWhole) => {
      if (!isWhole) this.#finished(running, false);
    });
    for await (const packet of packets) {
      if (packet.type !== 'data') continue;
      refuseErrorPacket(packet.payload, this.display);
      advertised ??= packetText(packet.payload) === 'version 2' ? 2 : 0;
    }
    if ((advertised ?? 0) === version) return running;
    this.#finished(running, false);
    throw environmentFailed(
      'remote-failed',
      `${this.display} no longer speaks version ${version} of git's protocol`,
    );
  }

  async #start(): Promise<UploadPackProcess> {
    clearTimeout(this.#lingering);
    this.#busy += 1;
    try {
      const signal = this.#signal;
      const connection = await unlessAborted(this.#connect(), signal?.());
      const { traffic } = this;
      const idleTimeoutMs = this.#idleTimeoutMs;
      const options = { address: this.#address, traffic, idleTimeoutMs, signal };
      this.traffic.requests += 1;
      // A server that does not let this variable through answers in version 0.
      return await connection.run(
        uploadPackCommand(this.#address.path),
        { GIT_PROTOCOL: 'version=2' },
        (channel) => new UploadPackProcess(channel, options),
      );
    } catch (error) {
      this.#isDoubtful = true;
      this.#released();
      throw error;
    }
  }

  async #connect(): Promise<SshConnection> {
    const kept = this.#connection;
    const connection = await kept?.catch(() => undefined);
    if (connection?.isOpen === true) return connection;
    if (this.#connection === kept) this.#connection = undefined;
    this.#connection ??= this.#open();
    return this.#connection;
  }

  async #open(): Promise<SshConnection> {
    const file = this.#knownHostsFile;
    const text = await readMountedFile(file, { secret: false, warn: this.#warn });
    return openSshConnection({
      address: this.#address,
      known: knownKeys(this.#address, parseKnownHosts(text, file), file),
      key: await this.#readKey(),
      idleTimeoutMs: this.#idleTimeoutMs,
      signal: this.#signal?.(),
    });
  }

  #takeWaiting(readsRefs: boolean): UploadPackProcess | undefined {
    const running = this.#waiting;
    this.#waiting = undefined;
    if (running === undefined || running.isOver) return undefined;
    // git answers from the refs that it read first, whatever was pushed since.
    if (readsRefs && running.hasBeenAsked) {
      running.end();
      return undefined;
    }
    clearTimeout(this.#lingering);
    this.#busy += 1;
    return running;
  }

  #finished(running: UploadPackProcess, isWhole: boolean): void {
    if (isWhole && !running.isOver) {
      this.#waiting?.end();
      this.#waiting = running;
    } else running.abandon();
    this.#isDoubtful ||= !isWhole;
    this.#released();
  }

  #released(): void {
    this.#busy -= 1;
    if (this.#busy > 0) return;
    clearTimeout(this.#lingering);
    if (this.#isDoubtful) void this.close();
    else this.#lingering = setTimeout(() => void this.close(), this.#lingerMs);
  }
}

function once(warn: (message: string) => void): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    warn(message);
  };
}
