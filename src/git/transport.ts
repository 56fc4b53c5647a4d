import type { Packet } from './pkt-line.ts';

/** Requests and bytes since a transport was opened. */
export interface Traffic {
  requests: number;
  bytes: number;
}

export interface UploadPackRequest {
  /** In packets. */
  readonly body: string;
  /** Of the protocol: what was advertised. */
  readonly version: 0 | 2;
  /** Whether the refs of this moment are asked for; default false. */
  readonly readsRefs?: boolean;
}

/**
 * A way to the upload-pack of one repository, with plain errors. A response's packets end with it; one
 * that is not read to its end is returned (`return()`), so that its connection is let go of.
 */
export interface Transport {
  /** For messages: the address without credentials. */
  readonly display: string;
  readonly traffic: Traffic;
  /** What the server says of itself before it is asked: capabilities, or all refs in version 0. */
  advertisement(): Promise<AsyncGenerator<Packet>>;
  uploadPack(request: UploadPackRequest): Promise<AsyncGenerator<Packet>>;
  close(): Promise<void>;
}
