import { packetText } from './pkt-line.ts';
import type { Transport } from './transport.ts';
import { refuseErrorPacket, responseCutOff, talkLimit, type UploadPack } from './upload-pack.ts';
import { openVersion0 } from './upload-pack-v0.ts';
import { openVersion2 } from './upload-pack-v2.ts';

/**
 * Asks a server what it speaks: version 2, or the older protocol.
 *
 * @throws RinglockError `unsupported-object-format` for a repository of SHA-256 ids, and what the
 * transport throws
 */
export async function openUploadPack(transport: Transport): Promise<UploadPack> {
  const lines = await readAdvertisement(transport);
  const [first] = lines;
  if (first !== undefined && packetText(first) === 'version 2') {
    return openVersion2(transport, lines.slice(1).map(packetText));
  }
  return openVersion0(transport, lines, () => readAdvertisement(transport));
}

async function readAdvertisement(transport: Transport): Promise<Buffer[]> {
  const lines: Buffer[] = [];
  let ended = false;
  let afterServiceHeader = false;
  const count = talkLimit(transport.display);
  for await (const packet of await transport.advertisement()) {
    count(packet);
    if (packet.type === 'flush') {
      // The service header has a flush of its own.
      ended = !afterServiceHeader;
      afterServiceHeader = false;
    }
    if (packet.type !== 'data') continue;
    refuseErrorPacket(packet.payload, transport.display);
    afterServiceHeader = packetText(packet.payload).startsWith('# service=');
    if (!afterServiceHeader) lines.push(packet.payload);
  }
  if (!ended) throw responseCutOff(transport.display);
  return lines;
}
