import { join } from 'node:path';
import type { AuditEvent } from '../audit/event.ts';
import { type Cursor, journalStart, readJournal } from '../audit/journal.ts';

/** Since when a module is at its version here, and by whose commit. */
export interface ModuleSince {
  readonly version: string;
  /** RFC 3339, UTC. */
  readonly since: string;
  readonly commit: string | null;
  /** `Name <address>` of the lock commit's author, or who else it was. */
  readonly by: string;
}

const steps: ReadonlySet<string> = new Set([
  ...['install', 'upgrade', 'downgrade', 'repair', 'remove'],
]);

/** What a root's audit says of the modules that are served, read on from where it was read last. */
export class ModuleHistory {
  readonly #directory: string;
  #cursor: Cursor = journalStart;
  readonly #modules = new Map<string, ModuleSince>();
  /** What the last operation replaced, in case it is reverted. */
  #replaced = { operation: '', modules: new Map<string, ModuleSince | undefined>() };
  #reading: Promise<void> = Promise.resolve();

  /** @param root absolute path */
  constructor(root: string) {
    this.#directory = join(root, 'audit');
  }

  /** Undefined where the audit does not say, or cannot be read. */
  module(alias: string): ModuleSince | undefined {
    return this.#modules.get(alias);
  }

  /** Reads what was appended meanwhile. */
  refresh(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#readOn());
    return this.#reading;
  }

  async #readOn(): Promise<void> {
    try {
      for await (const { event, cursor } of readJournal(this.#directory, this.#cursor)) {
        this.#cursor = cursor;
        if (event.module !== null && steps.has(event.action)) this.#take(event.module, event);
      }
    } catch {
      // A broken chain is told by the pass that finds it; here something is merely not known.
    }
  }

  #take(module: string, { action, outcome, to, time, actor, operationId }: AuditEvent): void {
    if (this.#replaced.operation !== operationId) {
      this.#replaced = { operation: operationId, modules: new Map() };
    }
    const { modules: replaced } = this.#replaced;
    const known = this.#modules.get(module);
    if (outcome === 'reverted') {
      // Where the verdict came before the first event there is nothing to undo.
      if (replaced.has(module)) this.#set(module, replaced.get(module));
      return;
    }
    const isVisible = outcome === 'succeeded' || outcome === 'superseded';
    if (!isVisible || (action === 'repair' && known?.version === to)) return;
    replaced.set(module, known);
    const { commit, name: by } = actor;
    this.#set(module, to === null ? undefined : { version: to, since: time, commit, by });
  }

  #set(module: string, value: ModuleSince | undefined): void {
    if (value === undefined) this.#modules.delete(module);
    else this.#modules.set(module, value);
  }
}
