import { isMap, isNode, isScalar, parseDocument } from 'yaml';
import { badInput } from '../errors.ts';
import { formatEntry, type LockEntry } from './lock.ts';

/**
 * The text of a lock with one entry put in or replaced; every other byte stays, also in a lock that
 * this program did not write.
 *
 * @param text a lock that parseLock() accepts
 */
export function withLockEntry(text: string, alias: string, entry: LockEntry): string {
  // JSON is YAML 1.2, and this parser says where things stand.
  const modules = parseDocument(text).get('modules', true);
  if (!isMap(modules) || !modules.range) throw badInput('invalid-file', 'the lock has no modules');
  const value = formatEntry(entry).replaceAll('\n', '\n    ');
  const items = modules.items.map(({ key, value: node }) => {
    if (!isScalar(key) || !key.range || !isNode(node) || !node.range) {
      throw badInput('invalid-file', 'the lock has a module without an entry');
    }
    return {
      alias: String(key.value),
      start: key.range[0],
      from: node.range[0],
      to: node.range[1],
    };
  });
  const present = items.find((item) => item.alias === alias);
  if (present !== undefined) return splice(text, present.from, present.to, value);
  const property = `${JSON.stringify(alias)}: ${value}`;
  const next = items.find((item) => item.alias > alias);
  if (next !== undefined) return splice(text, next.start, next.start, `${property},\n    `);
  const last = items.at(-1);
  if (last !== undefined) return splice(text, last.to, last.to, `,\n    ${property}`);
  return splice(text, modules.range[0], modules.range[1], `{\n    ${property}\n  }`);
}

/**
 * The text of a lock with another platform; every other byte stays.
 *
 * @param text a lock that parseLock() accepts
 */
export function withLockPlatform(text: string, platform: string): string {
  const value = parseDocument(text).get('platform', true);
  if (!isScalar(value) || !value.range) throw badInput('invalid-file', 'the lock has no platform');
  return splice(text, value.range[0], value.range[1], JSON.stringify(platform));
}

function splice(text: string, from: number, to: number, inserted: string): string {
  return text.slice(0, from) + inserted + text.slice(to);
}
