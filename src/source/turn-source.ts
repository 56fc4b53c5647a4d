import { RinglockError } from '../errors.ts';
import type { ModuleSource, Turn } from './module-source.ts';

/** The same sources, each with a limit of time while another could be asked, which it remembers. */
export function takeTurns(sources: readonly ModuleSource[], turn: Turn): ModuleSource[] {
  return sources.map((source) => {
    let isSlow = false;
    return {
      ...source,
      isSlow: () => isSlow,
      turn: async (whose, ask) => {
        try {
          return await turn(whose, ask);
        } catch (error) {
          if (error instanceof RinglockError && error.code === 'turn-over') isSlow = true;
          throw error;
        }
      },
    };
  });
}
