import { badInput, refused } from '../errors.ts';
import { ringFile } from '../repo/names.ts';
import type { RingFile } from '../repo/ring.ts';
import type { ModuleSnapshot, PlatformSnapshot } from './platform-snapshot.ts';

/** The rings whose locks follow `modules/`. @throws RinglockError `no-tracking-ring` */
export function trackingRings({ rings }: Pick<PlatformSnapshot, 'rings'>): RingFile[] {
  const tracking = [...rings.values()].filter(({ ring }) => ring.tracking);
  if (tracking.length > 0) return tracking;
  throw refused('no-tracking-ring', 'no ring tracks modules/: nothing follows what is committed', {
    hint:
      rings.size === 0
        ? 'Make the rings with `ringlock init`.'
        : `Give one ring \`tracks: modules\` (${[...rings.keys()].map(ringFile).join(', ')}).`,
  });
}

/** The module of an alias or a directory's name. @throws RinglockError `unknown-module` */
export function requireModule(
  { modules }: Pick<PlatformSnapshot, 'modules'>,
  name: string,
): ModuleSnapshot {
  const found = findModule(modules, name);
  if (found !== undefined) return found;
  throw unknownModule(name, [...modules.keys()]);
}

export function findModule(
  modules: ReadonlyMap<string, ModuleSnapshot>,
  name: string,
): ModuleSnapshot | undefined {
  const plain = name.replace(/\/+$/, '');
  return (
    modules.get(plain) ??
    [...modules.values()].find(
      ({ directory, path }) =>
        directory === plain || path === plain || directory.split('/').at(-1) === plain,
    )
  );
}

export function unknownModule(name: string, known: readonly string[]) {
  return badInput('unknown-module', `there is no module ${JSON.stringify(name)}`, {
    hint: `Modules there: ${[...known].sort().join(', ') || 'none'}.`,
  });
}
