import { ringFile, tenantsFile } from './names.ts';
import type { Ring } from './ring.ts';
import type { Tenant } from './tenants.ts';

/** Something that has to be changed before a ring can go, and how. */
export interface RemovalObstacle {
  readonly problem: string;
  readonly remedy: string;
}

/** Everything in the committed files that still needs a ring. */
export function removalObstacles(
  name: string,
  rings: Iterable<Ring>,
  tenants: Iterable<Tenant>,
): RemovalObstacle[] {
  const found: RemovalObstacle[] = [];
  const sitting = [...tenants].filter(({ ring }) => ring === name).map(({ id }) => id);
  if (sitting.length > 0) {
    const count = sitting.length === 1 ? '1 tenant sits' : `${sitting.length} tenants sit`;
    found.push({
      problem: `${count} on it in ${tenantsFile}: ${sitting.join(', ')}`,
      remedy: `ringlock ring assign --from-ring ${name} <ring> --reason "…"`,
    });
  }
  for (const ring of rings) {
    if (ring.name === name && ring.isDefault) {
      found.push({
        problem: 'it is the default ring, which tenants that nobody names are served from',
        remedy: `make another ring the default, and take \`default: true\` out of ${ringFile(name)}`,
      });
    }
    if (ring.promotesFrom === name) {
      found.push({
        problem: `${ring.name} promotes from it`,
        remedy: `give ${ringFile(ring.name)} another promotesFrom`,
      });
    }
  }
  return found;
}
