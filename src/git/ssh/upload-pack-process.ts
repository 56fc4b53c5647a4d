import type { ClientChannel } from 'ssh2';
import { environmentFailed, RinglockError } from '../../errors.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { bodyFailure } from '../http-failures.ts';
import { flushPacket, type Packet, readPackets } from '../pkt-line.ts';
import type { Traffic } from '../transport.ts';
import { responseCutOff } from '../upload-pack.ts';
import type { SshAddress } from './ssh-address.ts';
import { noiseInsteadOfGit, processFailure } from './ssh-failures.ts';

interface ProcessOptions {
  readonly address: SshAddress;
  readonly traffic: Traffic;
  readonly idleTimeoutMs: number;
  readonly signal: (() => AbortSignal) | undefined;
}

/** What is kept of what the server writes beside its answers, in characters. */
const keptCharacters = 4096;

/** Its length, or as much of it as there is. */
const startsAPacket = /^([0-9a-f]{0,3}$|[0-9a-f]{4})/i;

/** A git-upload-pack that runs on the server: a dialogue of requests and responses, one at a time. */
export class UploadPackProcess {
  readonly #channel: ClientChannel;
  readonly #options: ProcessOptions;
  readonly #packets: AsyncGenerator<Packet>;
  /** Resolves when the channel is closed. */
  readonly #closed: Promise<void>;
  #isClosed = false;
  #exit: { code: number | null; signal: string | undefined } | undefined;
  #stderr = '';
  /** The first bytes that came, while they may be no packet. */
  #start = '';
  #hasAnswered = false;
  #hasBeenAsked = false;
  /** Bytes since the last request. */
  #bytes = 0;

  constructor(channel: ClientChannel, options: ProcessOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#packets = readPackets(this.#received());
    channel.on('exit', (code: number | null, signal?: string) => {
      this.#exit = { code, signal };
    });
    // Everything is read, since the server would stop where it is not.
    channel.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptCharacters);
    });
    channel.on('error', () => {}); // its reader says what ended it
    this.#closed = new Promise((resolve) => {
      channel.once('close', () => {
        this.#isClosed = true;
        resolve();
      });
    });
  }

  get hasBeenAsked(): boolean {
    return this.#hasBeenAsked;
  }

  /** Whether it has ended, or is about to. */
  get isOver(): boolean {
    return this.#isClosed || this.#exit !== undefined;
  }

  write(request: string): void {
    this.#bytes = 0;
    this.#hasBeenAsked = true;
    this.#channel.write(request);
  }

  /**
   * One response of version 2, or an advertisement: both end with their first flush.
   *
   * @param done is told whether the response was whole, so that the process may be asked more
   */
  async *response(done: (isWhole: boolean) => void): AsyncGenerator<Packet> {
    let isWhole = false;
    try {
      while (!isWhole) {
        const packet = await this.#next();
        if (packet === undefined) throw responseCutOff(this.#options.address.display);
        isWhole = packet.type === 'flush';
        yield packet;
      }
    } finally {
      done(isWhole);
    }
  }

  /** All that still comes: a response of version 0, which the process ends with; `done` as above. */
  async *rest(done: (isWhole: boolean) => void): AsyncGenerator<Packet> {
    let isWhole = false;
    try {
      for (;;) {
        const packet = await this.#next();
        isWhole = packet === undefined;
        if (packet === undefined) return;
        yield packet;
      }
    } finally {
      done(isWhole);
    }
  }

  /** Says that no more is wanted, so that git ends by itself. */
  end(): void {
    this.#channel.end(flushPacket);
    this.#channel.resume();
  }

  /** Lets go of it in the middle of a response. */
  abandon(): void {
    this.#channel.close();
    this.#channel.resume();
  }

  /** @returns undefined when the process ended well */
  async #next(): Promise<Packet | undefined> {
    try {
      const { value, done } = await this.#packets.next();
      if (done !== true) {
        this.#hasAnswered = true;
        return value;
      }
    } catch (error) {
      throw await this.#explain(error);
    }
    const failure = await this.#failure();
    if (failure !== undefined) throw failure;
    return undefined;
  }

  async #explain(error: unknown): Promise<unknown> {
    const { address } = this.#options;
    if (!(error instanceof RinglockError)) return bodyFailure(address.display, error, this.#bytes);
    if (error.code === 'remote-timeout') return error;
    if (!this.#hasAnswered && !startsAPacket.test(this.#start)) {
      return noiseInsteadOfGit(address, this.#start);
    }
    return error.code === 'fetch-incomplete' ? ((await this.#failure()) ?? error) : error;
  }

  /** Why no more comes: the process failed, or the connection was lost. */
  async #failure(): Promise<unknown> {
    await this.#soon(this.#closed);
    const { address } = this.#options;
    if (this.#exit === undefined) {
      return bodyFailure(address.display, new Error('connection lost'), this.#bytes);
    }
    if (this.#exit.code === 0) return undefined;
    return processFailure(address, { ...this.#exit, stderr: this.#stderr });
  }

  async *#received(): AsyncGenerator<Uint8Array> {
    const chunks = (this.#channel as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await this.#soon(chunks.next());
      if (done === true) return;
      this.#bytes += value.length;
      this.#options.traffic.bytes += value.length;
      if (this.#start.length < 200 && !this.#hasAnswered) this.#start += value.toString('utf8');
      yield value;
    }
  }

  /** @throws RinglockError `remote-timeout` when it takes longer than the server may be silent */
  async #soon<Result>(promise: Promise<Result>): Promise<Result> {
    const { address, idleTimeoutMs, signal } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const what =
          this.#bytes === 0 ? 'does not answer' : `fell silent after ${this.#bytes} bytes`;
        reject(environmentFailed('remote-timeout', `${address.display} ${what}`));
      }, idleTimeoutMs);
    });
    try {
      return await unlessAborted(Promise.race([promise, silence]), signal?.());
    } finally {
      clearTimeout(timer);
    }
  }
}
