import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Keeps a server from having more connections than a number. Of too many the one goes that has waited
 * longest for a request to be whole, not the one that came last: whoever opens connections and says nothing
 * keeps no probe out.
 */
export function limitConnections(server: Server, most: number): void {
  /** Without a request to answer, oldest first. */
  const waiting = new Set<Socket>();
  const answering = new Set<Socket>();
  const forget = (socket: Socket) => {
    waiting.delete(socket);
    answering.delete(socket);
  };
  server.on('connection', (socket: Socket) => {
    if (waiting.size + answering.size >= most) {
      const given = oldest(waiting, answering);
      given?.destroy();
      if (given !== undefined) forget(given);
    }
    waiting.add(socket);
    socket.once('close', () => forget(socket));
  });
  server.on('request', ({ socket }, response) => {
    waiting.delete(socket);
    answering.add(socket);
    response.once('close', () => {
      if (answering.delete(socket) && !socket.destroyed) waiting.add(socket);
    });
  });
}

function oldest(...groups: readonly ReadonlySet<Socket>[]): Socket | undefined {
  for (const group of groups) {
    for (const socket of group) return socket;
  }
  return undefined;
}
