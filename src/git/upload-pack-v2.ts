import { environmentFailed } from '../errors.ts';
import { delimiterPacket, flushPacket, type Packet, packetLine, packetText } from './pkt-line.ts';
import type { Transport } from './transport.ts';
import {
  drain,
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

/** git's protocol-v2: one request a command, nothing remembered between them. */
export function openVersion2(transport: Transport, lines: readonly string[]): UploadPack {
  const { display, traffic } = transport;
  const features = new Map(
    lines.map((line) => {
      const separator = line.indexOf('=');
      return separator === -1 ? [line, ''] : [line.slice(0, separator), line.slice(separator + 1)];
    }),
  );
  requireSha1(features.get('object-format'), display);
  for (const command of ['ls-refs', 'fetch']) {
    if (features.has(command)) continue;
    throw environmentFailed('remote-not-git', `${display} does not offer ${command}`);
  }
  const fetchFeatures = features.get('fetch')?.split(' ') ?? [];
  const common = [
    ...(features.has('agent') ? ['agent=git/ringlock'] : []),
    ...(features.has('object-format') ? ['object-format=sha1'] : []),
  ];
  const command = (name: string, args: readonly string[]) => {
    const body = [
      ...[`command=${name}`, ...common].map((line) => packetLine(`${line}\n`)),
      delimiterPacket,
      ...args.map((line) => packetLine(`${line}\n`)),
      flushPacket,
    ].join('');
    return transport.uploadPack({ body, version: 2, readsRefs: name === 'ls-refs' });
  };
  return {
    capabilities: { version: 2, filter: fetchFeatures.includes('filter'), anyObject: true },
    display,
    traffic,
    listRefs: async (prefixes) => {
      const args = prefixes.map((prefix) => `ref-prefix ${prefix}`);
      return readingPackets(await command('ls-refs', args), (packets) =>
        readRefs(packets, display),
      );
    },
    fetch: async (request) =>
      readingPackets(await command('fetch', fetchArguments(request)), (packets) =>
        readFetchResponse(packets, display),
      ),
  };
}

async function readRefs(packets: AsyncIterator<Packet>, display: string): Promise<RemoteRef[]> {
  const refs: RemoteRef[] = [];
  const count = talkLimit(display);
  for (;;) {
    const { value: packet, done } = await packets.next();
    if (done === true) throw responseCutOff(display);
    count(packet);
    if (packet.type === 'flush') break;
    if (packet.type !== 'data') continue;
    refuseErrorPacket(packet.payload, display);
    const [, oid, name] = /^([0-9a-f]{40}) (\S+)/.exec(packetText(packet.payload)) ?? [];
    if (oid !== undefined && name !== undefined) refs.push({ oid, name });
  }
  await drain(packets);
  return refs;
}

function fetchArguments(request: FetchRequest): string[] {
  return [
    'no-progress',
    'ofs-delta',
    ...request.wants.map((oid) => `want ${oid}`),
    ...(request.shallow ?? []).map((oid) => `shallow ${oid}`),
    ...(request.depth === undefined ? [] : [`deepen ${request.depth}`]),
    ...(request.filter === undefined ? [] : [`filter ${request.filter}`]),
    ...(request.haves ?? []).map((oid) => `have ${oid}`),
    ...(request.done ? ['done'] : []),
  ];
}

/** Reads the sections up to the pack, which is left to the caller to read. */
async function readFetchResponse(
  packets: AsyncGenerator<Packet>,
  display: string,
): Promise<FetchResponse> {
  const sections = new Map<string, string[]>();
  const count = talkLimit(display);
  let lines: string[] | undefined;
  for (;;) {
    const { value: packet, done } = await packets.next();
    if (done === true) throw responseCutOff(display);
    count(packet);
    if (packet.type === 'delimiter') lines = undefined;
    else if (packet.type === 'flush') break;
    else if (packet.type === 'data') {
      refuseErrorPacket(packet.payload, display);
      const text = packetText(packet.payload);
      if (lines !== undefined) lines.push(text);
      else if (text === 'packfile') {
        return { ...readSections(sections), pack: readSideband(packets, display) };
      } else {
        lines = [];
        sections.set(text, lines);
      }
    }
  }
  await drain(packets);
  return { ...readSections(sections), pack: undefined };
}

function readSections(
  sections: ReadonlyMap<string, readonly string[]>,
): Omit<FetchResponse, 'pack'> {
  const withWord = (section: string, word: string): string[] =>
    (sections.get(section) ?? [])
      .filter((line) => line.startsWith(`${word} `))
      .map((line) => line.slice(word.length + 1));
  return {
    acknowledged: withWord('acknowledgments', 'ACK'),
    shallow: withWord('shallow-info', 'shallow'),
    unshallow: withWord('shallow-info', 'unshallow'),
  };
}
