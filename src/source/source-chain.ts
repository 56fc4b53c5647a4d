import { RinglockError, refused } from '../errors.ts';
import type { ModuleSource, SourceFile, WantedModule } from './module-source.ts';

/** Takes one module's files and verifies them; throws RinglockError `digest-mismatch` when they are others. */
export type TakeFiles = (files: AsyncIterable<SourceFile>, sourceName: string) => Promise<void>;

/**
 * Tries the sources in order until one gives the pinned bytes; one that crawls is cut off while another could
 * be asked.
 *
 * @returns the name of the source that gave them
 * @throws RinglockError `no-source`, with every source's own reason; or what `take` threw, unless
 *   another source can still be asked
 */
export async function takeFromSources(
  sources: readonly ModuleSource[],
  wanted: WantedModule,
  take: TakeFiles,
): Promise<string> {
  const reasons: string[] = [];
  let environment: RinglockError | undefined;
  const order = [
    ...sources.filter((source) => source.isSlow?.() !== true),
    ...sources.filter((source) => source.isSlow?.() === true),
  ];
  for (const [index, source] of order.entries()) {
    const ask = async () => {
      const files = await source.read(wanted);
      if (files !== undefined) await take(files, source.name);
      return files !== undefined;
    };
    const others = order.slice(index + 1).some((other) => other.offers?.(wanted) ?? true);
    try {
      const isTaken = await (others && source.turn ? source.turn(source.name, ask) : ask());
      if (isTaken) return source.name;
      reasons.push(`${source.name}: does not have it`);
    } catch (error) {
      if (!(error instanceof RinglockError) || isLocal(error)) throw error;
      if (error.exitCode === 3) environment ??= error;
      reasons.push(`${source.name}: ${error.message}`);
    }
  }
  const { alias, entry } = wanted;
  const message = `no source gave ${alias} ${entry.version}:\n${reasons.map((reason) => `  ${reason}`).join('\n')}`;
  throw environment === undefined
    ? refused('no-source', message)
    : new RinglockError('no-source', 3, message, { cause: environment });
}

/** A full disk, or what a module has no business to be, stays what it is, whichever source is asked. */
function isLocal({ code }: RinglockError): boolean {
  return code.startsWith('disk-') || refusedModule.has(code);
}

const refusedModule: ReadonlySet<string> = new Set([
  ...['refused-path', 'limit-exceeded', 'malformed-object', 'invalid-file', 'invalid-json'],
]);
