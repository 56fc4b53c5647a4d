import { badInput } from '../errors.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * @param listen `port`, `host:port` or `[v6]:port`; the host is 127.0.0.1 when not given
 * @throws RinglockError `invalid-listen-address`
 */
export function parseListenAddress(listen: string): ListenAddress {
  const parts = /^(?:(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(listen);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw badInput(
      'invalid-listen-address',
      `--listen is ${JSON.stringify(listen)}, expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080`,
    );
  }
  return { host: parts[1] ?? (parts[2] || '127.0.0.1'), port };
}
