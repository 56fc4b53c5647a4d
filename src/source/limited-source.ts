import { type Limits, overLimit } from '../repo/limits.ts';
import type { ModuleSource, SourceFile, WantedModule } from './module-source.ts';

/**
 * The same sources, delivering no more than one module, and all modules of one commit together, may
 * have: a tree of a few kilobytes can name one large file a hundred thousand times.
 */
export function limitSources(sources: readonly ModuleSource[], limits: Limits): ModuleSource[] {
  let installed = 0;
  async function* counted(
    files: AsyncIterable<SourceFile>,
    { alias, entry }: WantedModule,
  ): AsyncGenerator<SourceFile> {
    let bytes = 0;
    for await (const file of files) {
      bytes += file.content.length;
      installed += file.content.length;
      if (bytes > limits.module) {
        throw overLimit('module', limits, `${alias} ${entry.version} has files of`);
      }
      if (installed > limits.install) {
        throw overLimit('install', limits, 'the modules to install have files of');
      }
      yield file;
    }
  }
  return sources.map((source) => ({
    name: source.name,
    ...(source.offers && { offers: source.offers }),
    ...(source.prefetch && { prefetch: source.prefetch }),
    read: async (module) => {
      const files = await source.read(module);
      return files && counted(files, module);
    },
  }));
}
