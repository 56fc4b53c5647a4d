/**
 * A process that opens a root with a modules directory, switches to generation 2 and is killed there:
 * `in-place-process ROOT MODULES_DIR KILL_AT`, a step's number or `NAME#n` for the nth of a name. Bundled,
 * since tsx takes half a second for each start.
 */
import { openRoot } from '../../src/store/root.ts';

/** What preparedRoots() is about to switch to. */
export const next = { number: 2, path: '' };

const [path, inPlace, killAt] = process.argv.slice(2);
if (path !== undefined && inPlace !== undefined) await run(path, inPlace);

async function run(path: string, inPlace: string): Promise<void> {
  let calls = 0;
  const callsOf = new Map<string, number>();
  const fault = (point: string) => {
    calls++;
    callsOf.set(point, (callsOf.get(point) ?? 0) + 1);
    if (String(calls) !== killAt && `${point}#${callsOf.get(point)}` !== killAt) return;
    process.stdout.write(point, () => process.kill(process.pid, 'SIGKILL'));
    return new Promise<void>(() => {});
  };
  const root = await openRoot({ path, inPlace, fault });
  await root.switchTo(next);
  await root.close();
}
