import { environmentFailed } from '../errors.ts';
import { redactLine } from '../redaction.ts';
import { type Packet, packetText } from './pkt-line.ts';
import type { Traffic } from './transport.ts';

/** What a server's upload-pack can be asked for. */
export interface ServerCapabilities {
  readonly version: 0 | 2;
  /** Commits without trees, trees without what is below them. */
  readonly filter: boolean;
  /** Any object by its id, not only the tips of refs. */
  readonly anyObject: boolean;
}

export interface RemoteRef {
  readonly name: string;
  readonly oid: string;
}

export interface FetchRequest {
  readonly wants: readonly string[];
  readonly haves?: readonly string[];
  /** Commits that are here without their parents. */
  readonly shallow?: readonly string[];
  /** Commits from each want on; undefined is all that are not had. */
  readonly depth?: number;
  /** `tree:0`, `tree:1`. */
  readonly filter?: string;
  /**
   * False asks first whether the haves are known: the response has a pack only if they are enough.
   * (Version 0 always sends one.)
   */
  readonly done: boolean;
}

export interface FetchResponse {
  /** The haves that the server knows too. */
  readonly acknowledged: readonly string[];
  readonly shallow: readonly string[];
  readonly unshallow: readonly string[];
  /** Ends normally only when the response ended with its flush; undefined when none comes yet. */
  readonly pack: AsyncIterable<Uint8Array> | undefined;
}

/** git's upload-pack service, in the protocol version that the server speaks. */
export interface UploadPack {
  readonly capabilities: ServerCapabilities;
  /** For messages. */
  readonly display: string;
  readonly traffic: Traffic;
  /** Refs whose name starts with one of the prefixes; a server may return more. */
  listRefs(prefixes: readonly string[]): Promise<RemoteRef[]>;
  fetch(request: FetchRequest): Promise<FetchResponse>;
}

/** @throws RinglockError `unsupported-object-format` */
export function requireSha1(format: string | undefined, display: string): void {
  if (format === undefined || format === 'sha1') return;
  throw environmentFailed(
    'unsupported-object-format',
    `${display} uses ${format} object ids, expected sha1`,
    { hint: 'Rings follow repositories with SHA-1 ids; convert it, or mirror it into one.' },
  );
}

export function refuseErrorPacket(payload: Buffer, display: string): void {
  if (payload.subarray(0, 4).toString('latin1') !== 'ERR ') return;
  throw serverError(display, packetText(payload.subarray(4)));
}

/** What the server says instead of an answer. */
function serverError(display: string, said: string): Error {
  const text = redactLine(said);
  if (/not our ref|unadvertised object|unknown object|missing object/i.test(text)) {
    return environmentFailed('remote-lacks-object', `${display} does not have it: ${text}`);
  }
  return environmentFailed('remote-failed', `${display} answers with an error: ${text}`);
}

export function responseCutOff(display: string): Error {
  return environmentFailed('fetch-incomplete', `the response of ${display} has no end`);
}

/** Bytes: refs of half a million branches, and no more progress than a person would read. */
const longestTalk = 32 * 1024 * 1024;
/** A flush carries nothing: a thousand of them are as bad as all that may be said. */
const emptyPacketCost = 32 * 1024;

/**
 * Counts what a server says besides a pack, which would else be kept or listened to for ever.
 *
 * @returns takes each packet; throws RinglockError `remote-failed` when it is too much
 */
export function talkLimit(display: string): (packet: Packet) => void {
  let bytes = 0;
  return (packet) => {
    bytes += packet.type === 'data' ? Math.max(64, packet.payload.length) : emptyPacketCost;
    if (bytes <= longestTalk) return;
    throw environmentFailed(
      'remote-failed',
      `${display} says more than ${longestTalk} bytes besides a pack, and goes on`,
    );
  };
}

const band = { data: 1, progress: 2, error: 3 };

/**
 * The pack that the rest of a response carries in side-band packets.
 *
 * @throws RinglockError `fetch-incomplete` when no flush ends it, `remote-failed` on the error channel
 */
export async function* readSideband(
  packets: AsyncIterator<Packet>,
  display: string,
): AsyncGenerator<Uint8Array> {
  const count = talkLimit(display);
  try {
    for (;;) {
      const { value: packet, done } = await packets.next();
      if (done === true) throw responseCutOff(display);
      if (packet.type === 'flush') break;
      const channel = packet.type === 'data' ? packet.payload[0] : undefined;
      if (channel !== band.data) count(packet);
      if (packet.type !== 'data') continue;
      const content = packet.payload.subarray(1);
      if (channel === band.data) yield content;
      else if (channel === band.error) throw serverError(display, packetText(content));
      else if (channel !== band.progress) refuseErrorPacket(packet.payload, display);
    }
    await drain(packets);
  } finally {
    await packets.return?.(undefined);
  }
}

/** Packets that are read after the last that counts. */
const mostDrained = 16;

/** Reads to the response's end, so that its connection serves again; what was asked for has arrived. */
export async function drain(packets: AsyncIterator<Packet>): Promise<void> {
  try {
    for (let read = 0; read < mostDrained; read++) {
      if ((await packets.next()).done === true) return;
    }
    await packets.return?.(undefined);
  } catch {
    // Nothing that comes after the flush counts.
  }
}

/** Reads packets with `read`; when that fails, the connection is let go of. */
export async function readingPackets<Result>(
  packets: AsyncGenerator<Packet>,
  read: (packets: AsyncGenerator<Packet>) => Promise<Result>,
): Promise<Result> {
  try {
    return await read(packets);
  } catch (error) {
    await packets.return(undefined);
    throw error;
  }
}
