import { environmentFailed } from '../errors.ts';
import { flushPacket, type Packet, packetLine, packetText } from './pkt-line.ts';
import type { Transport } from './transport.ts';
import {
  type FetchRequest,
  type FetchResponse,
  type RemoteRef,
  readingPackets,
  readSideband,
  refuseErrorPacket,
  requireSha1,
  responseCutOff,
  talkLimit,
  type UploadPack,
} from './upload-pack.ts';

/**
 * git's older protocol (http-protocol, pack-protocol), for servers without version 2: the refs come
 * with the advertisement. multi_ack is not asked for, so that one line answers all haves.
 */
export function openVersion0(
  transport: Transport,
  lines: readonly Buffer[],
  advertise: () => Promise<readonly Buffer[]>,
): UploadPack {
  const { display, traffic } = transport;
  const { features } = parseAdvertisement(lines);
  const format = [...features].find((feature) => feature.startsWith('object-format='));
  requireSha1(format?.slice('object-format='.length), display);
  // An empty repository may advertise nothing at all.
  if (lines.length > 0 && !features.has('side-band-64k')) {
    throw environmentFailed('remote-not-git', `${display} does not offer side-band-64k`, {
      hint: 'Give the URL that git clone takes, of a server with smart HTTP or SSH.',
    });
  }
  return {
    capabilities: {
      version: 0,
      filter: features.has('filter'),
      anyObject:
        features.has('allow-any-sha1-in-want') || features.has('allow-reachable-sha1-in-want'),
    },
    display,
    traffic,
    // Those of the first advertisement may be old by the time that they are asked for.
    listRefs: async () => parseAdvertisement(await advertise()).refs,
    fetch: async (request) => {
      const response = await transport.uploadPack({
        body: fetchBody(request, features),
        version: 0,
      });
      return readingPackets(response, (packets) =>
        readFetchResponse(packets, request.depth !== undefined, display),
      );
    },
  };
}

function parseAdvertisement(lines: readonly Buffer[]): {
  refs: RemoteRef[];
  features: ReadonlySet<string>;
} {
  const refs: RemoteRef[] = [];
  let features = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const [ref = '', capabilities = ''] = packetText(line).split('\0', 2);
    if (index === 0) features = new Set(capabilities.split(' '));
    const [, oid, name] = /^([0-9a-f]{40}) (\S+)$/.exec(ref) ?? [];
    // An empty repository says `capabilities^{}`, a tag's commit ends in `^{}`.
    if (oid !== undefined && name !== undefined && !name.endsWith('^{}')) refs.push({ oid, name });
  }
  return { refs, features };
}

function fetchBody(request: FetchRequest, features: ReadonlySet<string>): string {
  const capabilities = [
    'side-band-64k',
    ...['ofs-delta', 'no-progress', 'filter'].filter((feature) => features.has(feature)),
    'agent=git/ringlock',
  ].join(' ');
  return [
    ...request.wants.map((oid, index) =>
      packetLine(index === 0 ? `want ${oid} ${capabilities}\n` : `want ${oid}\n`),
    ),
    ...(request.shallow ?? []).map((oid) => packetLine(`shallow ${oid}\n`)),
    ...(request.depth === undefined ? [] : [packetLine(`deepen ${request.depth}\n`)]),
    ...(request.filter === undefined ? [] : [packetLine(`filter ${request.filter}\n`)]),
    flushPacket,
    ...(request.haves ?? []).map((oid) => packetLine(`have ${oid}\n`)),
    packetLine('done\n'),
  ].join('');
}

/** Shallow lines and a flush (only when a depth was asked for), then ACK or NAK, then the pack. */
async function readFetchResponse(
  packets: AsyncGenerator<Packet>,
  hasShallowSection: boolean,
  display: string,
): Promise<FetchResponse> {
  const found = { shallow: [] as string[], unshallow: [] as string[], ACK: [] as string[] };
  const count = talkLimit(display);
  let inShallowSection = hasShallowSection;
  for (;;) {
    const { value: packet, done } = await packets.next();
    if (done === true) throw responseCutOff(display);
    count(packet);
    if (packet.type === 'flush' && inShallowSection) {
      inShallowSection = false;
      continue;
    }
    if (packet.type !== 'data') throw responseCutOff(display);
    refuseErrorPacket(packet.payload, display);
    const [word = '', oid = ''] = packetText(packet.payload).split(' ', 2);
    if (word === 'shallow' || word === 'unshallow') found[word].push(oid);
    if (word === 'ACK') found.ACK.push(oid);
    if (word === 'ACK' || word === 'NAK') break;
  }
  return {
    acknowledged: found.ACK,
    shallow: found.shallow,
    unshallow: found.unshallow,
    pack: readSideband(packets, display),
  };
}
