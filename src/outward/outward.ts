import { recentStart } from '../audit/audit-log.ts';
import { type Cursor, journalStart, readJournal } from '../audit/journal.ts';
import { RinglockError } from '../errors.ts';
import type { Log } from '../reconcile/log.ts';
import { auditPath } from '../store/layout.ts';
import type { RootStatus } from '../store/status-file.ts';
import type { Connections } from '../wire/connections.ts';
import { createClaims, type WithClient } from './claims.ts';
import { Courier, type DeliverySchedule } from './courier.ts';
import { findNews, type HoldRecord } from './find-news.ts';
import { type CommitFacts, type Message, messageOf } from './message.ts';
import { readEndedEvents } from './operations-of-events.ts';
import { OutwardFile, type Queued } from './outward-file.ts';
import type { Backlog, Receiver } from './receiver.ts';

export interface OutwardParts {
  /** Path of the root. */
  readonly root: string;
  readonly receivers: readonly Receiver[];
  readonly status: () => RootStatus;
  readonly holds: () => readonly HoldRecord[];
  /** Who made a commit, as far as that is known here. */
  readonly commitFacts: (commit: string) => Promise<CommitFacts | undefined>;
  readonly withClient: WithClient;
  readonly connections: Connections;
  readonly log: Log;
  readonly now: () => Date;
  readonly schedule: DeliverySchedule;
}

/** How many messages wait for one receiver at most; of more the oldest are dropped. */
const longestQueue = 500;

/**
 * Tells the outside what becomes of a root. What is new is found by looking at the status and the audit
 * journal, both of which outlive a kill; nothing here keeps a pass waiting or makes it fail.
 */
export class Outward {
  readonly #parts: OutwardParts;
  readonly #file: OutwardFile;
  readonly #couriers: readonly Courier[];
  #looking: Promise<void> | undefined;
  #again = false;
  #said: string | undefined;

  /** What happened before a root's first time is no news. */
  static async open(parts: OutwardParts): Promise<Outward> {
    const file = await OutwardFile.open(parts.root);
    const known = new Set(parts.receivers.map(({ id }) => id));
    // What waits for a receiver that is no more would wait for ever.
    const queue = file.current.queue.filter(({ receiver }) => known.has(receiver));
    const begun = file.current.cursor === null ? await beginning(parts) : {};
    try {
      await file.change((state) => ({ ...state, ...begun, queue }));
    } catch (error) {
      // A full disk is something to tell, not a reason to be silent.
      if (!(error instanceof RinglockError)) throw error;
      parts.log.warn(`what the outside is told is not kept: ${error.message}`);
    }
    return new Outward(parts, file);
  }

  private constructor(parts: OutwardParts, file: OutwardFile) {
    this.#parts = parts;
    this.#file = file;
    const claims = createClaims(parts.withClient);
    this.#couriers = parts.receivers.map(
      (receiver) => new Courier(receiver, { ...parts, file, claims }),
    );
  }

  /** Looks for news, or has the look under way followed by another. */
  look(): void {
    if (this.#looking !== undefined) {
      this.#again = true;
      return;
    }
    this.#looking = this.#lookOnce()
      .catch((error: unknown) => this.#sayOnce(error instanceof Error ? error.message : `${error}`))
      .finally(() => {
        this.#looking = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.look();
      });
  }

  get backlogs(): readonly Backlog[] {
    const { queue, pauses } = this.#file.current;
    return this.#parts.receivers.map(({ id, display }) => ({
      receiver: display,
      messages: queue.filter(({ receiver }) => receiver === id).length,
      failures: pauses[id]?.failures ?? 0,
    }));
  }

  /** Waits until all is told that can be told now; what cannot stays in the queue. */
  async settled(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    const settle = async () => {
      while (this.#looking !== undefined) await this.#looking;
      await Promise.all(this.#couriers.map((courier) => courier.idle()));
    };
    await Promise.race([settle(), late]);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await Promise.all(this.#couriers.map((courier) => courier.close()));
    await this.#parts.connections.close();
  }

  async #lookOnce(): Promise<void> {
    // What is seen of the status is no older than what is read of the journal after it.
    const status = this.#parts.status();
    const { told, cursor: from } = this.#file.current;
    const { events, cursor } = await this.#readEvents(from);
    const now = this.#parts.now();
    const found = findNews(told, { status, events, holds: this.#parts.holds(), now });
    const messages: Message[] = [];
    for (const news of found.news) {
      const facts = news.commit === null ? undefined : await this.#parts.commitFacts(news.commit);
      messages.push(messageOf(news, status, facts, now));
    }
    const isSame = messages.length === 0 && JSON.stringify(found.told) === JSON.stringify(told);
    try {
      if (isSame && cursor.sequence === from?.sequence) return;
      await this.#file.change((state) => ({
        ...state,
        cursor,
        told: found.told,
        queue: messages.reduce((queue, message) => this.#enqueue(queue, message), state.queue),
      }));
    } finally {
      // Also with a full disk, which is what there may be to tell.
      for (const courier of this.#couriers) courier.wake();
    }
  }

  /** A journal that was begun anew is read from its end on. */
  async #readEvents(from: Cursor | null) {
    const { root } = this.#parts;
    try {
      return await readEndedEvents(auditPath(root), from ?? journalStart);
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      return { events: [], cursor: await endOfJournal(root) };
    }
  }

  #enqueue(queue: readonly Queued[], message: Message): readonly Queued[] {
    return this.#parts.receivers.reduce((rest, receiver) => {
      if (!receiver.wants(message)) return rest;
      const { commit } = message.data;
      const isOvertaken = ({ receiver: to, message: { data } }: Queued) =>
        receiver.isLastWord && to === receiver.id && data.commit === commit;
      const kept = rest.filter((queued) => !isOvertaken(queued));
      const added = { receiver: receiver.id, message, claimed: false };
      return this.#bounded([...kept, added], receiver);
    }, queue);
  }

  #bounded(queue: readonly Queued[], receiver: Receiver): readonly Queued[] {
    const own = queue.filter(({ receiver: to }) => to === receiver.id);
    if (own.length <= longestQueue) return queue;
    this.#sayOnce(
      `${receiver.display} has not taken ${longestQueue} messages: the oldest are dropped`,
    );
    return queue.filter((queued) => queued !== own[0]);
  }

  #sayOnce(message: string): void {
    if (message !== this.#said) this.#parts.log.warn(message);
    this.#said = message;
  }
}

/** Before the first look of all: what is there is known. */
async function beginning({ root, status, holds, now }: OutwardParts) {
  const { told } = findNews(undefined, {
    status: { ...status(), state: 'starting' },
    events: [],
    holds: holds(),
    now: now(),
  });
  return { told, cursor: await endOfJournal(root) };
}

async function endOfJournal(root: string): Promise<Cursor> {
  // What is broken further back is no matter of those who look at what is new.
  let end = await recentStart(auditPath(root));
  for await (const { cursor } of readJournal(auditPath(root), end)) end = cursor;
  return end;
}
