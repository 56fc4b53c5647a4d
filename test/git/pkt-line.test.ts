import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { flushPacket, packetLine, packetText, readPackets } from '../../src/git/pkt-line.ts';

async function read(chunks: readonly Uint8Array[]): Promise<string[]> {
  const found: string[] = [];
  async function* stream() {
    yield* chunks;
  }
  for await (const packet of readPackets(stream())) {
    found.push(packet.type === 'data' ? packetText(packet.payload) : packet.type);
  }
  return found;
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

test('reads the packets that were written, wherever the stream is cut into chunks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' })),
      fc.array(fc.nat(5000)),
      async (texts, cuts) => {
        const bytes = Buffer.from(
          texts.map((text) => packetLine(`${text}\n`)).join('') + flushPacket,
        );
        assert.deepEqual(await read(cutAt(bytes, cuts)), [...texts, 'flush']);
      },
    ),
    { numRuns: 100 },
  );
});

test('a stream that ends inside a packet is incomplete, at any byte', async () => {
  const bytes = Buffer.from(packetLine('want 1234\n'));
  for (let end = 1; end < bytes.length; end++) {
    await assert.rejects(read([bytes.subarray(0, end)]), { code: 'fetch-incomplete' });
  }
});

test('refuses what is no packet stream, quoting its first bytes', async () => {
  await assert.rejects(read([Buffer.from('<!doctype html>')]), {
    code: 'remote-not-git',
    message: /a packet starts with "<!do"/,
  });
  await assert.rejects(read([Buffer.from('0003')]), { code: 'remote-not-git' });
  await assert.rejects(read([Buffer.from('fff5')]), { code: 'remote-not-git' });
});
