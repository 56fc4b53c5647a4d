import type { Message } from './message.ts';

/** Somebody who is told, over HTTP. */
export interface Receiver {
  /** Names it in the queue and the ring's database; nothing secret in it. */
  readonly id: string;
  /** For the log; nothing secret in it. */
  readonly display: string;
  /** Whether only the last message of a commit counts, as for a commit's status. */
  readonly isLastWord: boolean;
  wants(message: Message): boolean;
  /**
   * The request that tells it; secrets are read anew each time.
   *
   * @throws RinglockError when a secret is not there
   */
  request(message: Message): Promise<OutgoingRequest>;
  /** What an answer means. */
  judge(answer: Answer): Verdict;
}

export interface OutgoingRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What must not be shown should the answer repeat it. */
  readonly secrets: readonly string[];
  /** Parts of the address that its answer must not show; elsewhere they may be words like any other. */
  readonly hidden?: readonly string[];
}

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The start of the body, redacted and on one line. */
  readonly text: string;
}

/** What became of an attempt. */
export type Verdict =
  | { readonly outcome: 'delivered' }
  /** Tried again, not before `afterMs` when it is given. */
  | { readonly outcome: 'again'; readonly reason: string; readonly afterMs?: number | undefined }
  /** Final. */
  | { readonly outcome: 'refused'; readonly reason: string; readonly hint: string };

/** What waits to be told to a receiver. */
export interface Backlog {
  /** What people call it: no secret is in it. */
  readonly receiver: string;
  readonly messages: number;
  /** Attempts in a row that it did not take. */
  readonly failures: number;
}
