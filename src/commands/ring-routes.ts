import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { findRepository } from '../git/git-command.ts';
import { planRoutes, type RoutePlan, writeRoutes } from '../git/ring-routes.ts';
import type { RouteApi } from '../repo/route-settings.ts';
import { BaseCommand } from './base.ts';

const verbs = {
  current: 'unchanged',
  missing: 'written',
  stale: 'written',
  'left over': 'removed',
} as const;

export class RingRoutesCommand extends BaseCommand {
  static override paths = [['ring', 'routes']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Write the routes of hostnames to the services of their rings.',
    details: `
      Reads the hostnames of rings and tenants in manifests/ and writes overlays/routes/ingress and
      overlays/routes/gateway: for each ring an Ingress, or HTTPRoutes of the Gateway API, in the ring's
      namespace. Hostnames that nobody claims go to the ring with \`default: true\`. A hostname claimed
      twice is refused, with both places.

      \`--check\` writes nothing and exits 1 when a file is not what manifests/ says, for CI. Class,
      annotations, service and Gateway are \`routes\` in manifests/ringlock.yaml.
    `,
    examples: [
      ['After a tenant moved', 'ringlock ring routes'],
      ['In CI', 'ringlock ring routes --check'],
      ['For the Gateway API alone', 'ringlock ring routes --api gateway'],
    ],
  });

  check = Option.Boolean('--check', false, {
    description: 'Write nothing; exit 1 when a file is stale.',
  });
  api = Option.String('--api', {
    description: 'ingress, gateway or both (default: as manifests/ringlock.yaml says).',
    validator: t.isEnum(['ingress', 'gateway', 'both'] as const),
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const apis = this.#apis();
    const plan = await this.progress('Reading the manifests…', () => planRoutes(repository, apis));
    const differing = plan.files.filter(({ state }) => state !== 'current');
    if (!this.check) await writeRoutes(repository, plan);
    this.answer(answerOf(plan));
    if (this.check) {
      for (const { path, state } of differing) this.say(`${state.padEnd(9)} ${path}`);
      if (differing.length === 0) this.say(`${summary(plan)}; every route file says so`);
      else this.say('  → ringlock ring routes, then commit');
      return differing.length === 0 ? 0 : 1;
    }
    for (const { path, state } of plan.files) this.say(`${verbs[state].padEnd(9)} ${path}`);
    this.say(summary(plan));
    if (differing.length > 0) {
      this.say(
        '  → git add overlays/routes && git commit -m "Route hostnames as the manifests say"',
      );
    }
    return 0;
  }

  #apis(): readonly RouteApi[] | undefined {
    if (this.api === undefined) return undefined;
    return this.api === 'both' ? ['gateway', 'ingress'] : [this.api];
  }
}

function answerOf({ apis, table, files }: RoutePlan): object {
  return {
    apis,
    default_ring: table.defaultRing ?? null,
    rings: table.rings.map(({ name, namespace, claimants }) => ({
      ...{ name, namespace },
      claimants: claimants.map(({ kind, id, hostnames }) => ({ kind, id, hostnames })),
    })),
    files: files.map(({ path, state }) => ({ path, state: state.replace(' ', '-') })),
  };
}

function summary({ table: { rings, defaultRing } }: RoutePlan): string {
  const hostnames = rings.flatMap(({ claimants }) => claimants.flatMap((one) => one.hostnames));
  const rest = defaultRing === undefined ? 'are not routed' : `go to ${defaultRing}`;
  const [names, lanes] = [hostnames.length, rings.length];
  return `${names} hostname${names === 1 ? '' : 's'} of ${lanes} ring${lanes === 1 ? '' : 's'}; all others ${rest}`;
}
