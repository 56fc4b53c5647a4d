export { type ExitCode, RinglockError } from './errors.ts';
export { type LoadOptions, loadModules, resolveModule } from './loader/load-modules.ts';
export type { LoadedModule, LoadedModules, RefusedModule } from './loader/loaded-modules.ts';
export { type ModulesWatch, type WatchOptions, watchModules } from './loader/watch-modules.ts';
export { formatLock, type Lock, type LockEntry, parseLock } from './repo/lock.ts';
export type { ModuleFile } from './repo/module-manifest.ts';
