import type { RawObject } from './object-store.ts';

const mostBytes = 4 * 1024 * 1024;

/**
 * Objects of packs that were read last and may be bases of others: so many bytes for all packs of a
 * database together, since a large first install has dozens of them.
 */
export class BaseCache {
  /** By pack and offset, oldest first. */
  readonly #objects = new Map<string, RawObject>();
  #bytes = 0;

  get(pack: string, offset: number): RawObject | undefined {
    return this.#objects.get(keyOf(pack, offset));
  }

  /** Large objects are not kept: they are seldom bases, and would push all others out. */
  remember(pack: string, offset: number, object: RawObject): void {
    const key = keyOf(pack, offset);
    if (object.content.length > mostBytes / 4 || this.#objects.has(key)) return;
    this.#objects.set(key, object);
    this.#bytes += object.content.length;
    for (const [oldest, { content }] of this.#objects) {
      if (this.#bytes <= mostBytes) break;
      this.#objects.delete(oldest);
      this.#bytes -= content.length;
    }
  }

  /** What was read of one pack; of all without one. */
  forget(pack?: string): void {
    for (const [key, { content }] of this.#objects) {
      if (pack !== undefined && !key.startsWith(`${pack}\0`)) continue;
      this.#objects.delete(key);
      this.#bytes -= content.length;
    }
  }
}

function keyOf(pack: string, offset: number): string {
  return `${pack}\0${offset}`;
}
