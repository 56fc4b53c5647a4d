import { stringify } from 'yaml';
import { requireRingName, ringFile } from './names.ts';
import { schemaLine } from './platform-template.ts';
import { parseRingFile, type Ring } from './ring.ts';
import type { Tenant } from './tenants.ts';
import { yamlStyle } from './yaml-edit.ts';

export interface NewRing {
  readonly name: string;
  /** The ring that versions come from; undefined: the lock follows `modules/`. */
  readonly promotesFrom: string | undefined;
  /** Undefined: it gets none. */
  readonly namespace: string | undefined;
  readonly hostnames: readonly string[];
  readonly branch: string;
}

/**
 * The text of a new ring's file.
 *
 * @throws RinglockError `invalid-ring-name`; `invalid-file` for a namespace, hostname or branch that is none
 */
export function newRingText(ring: NewRing): string {
  const { name, promotesFrom, namespace, hostnames, branch } = ring;
  requireRingName(name);
  const facts = {
    ...(namespace !== undefined && { namespace }),
    ...(hostnames.length > 0 && { hostnames }),
    branch,
  };
  const lane =
    promotesFrom === undefined
      ? '# The lock follows modules/ in the same commit.\ntracks: modules\n'
      : `# \`ringlock ring promote <alias> --from ${promotesFrom} --to ${name}\`\npromotesFrom: ${promotesFrom}\n`;
  const text = `${schemaLine('ring')}${stringify(facts, yamlStyle)}\n${lane}`;
  parseRingFile(text, name);
  return text;
}

/** Which of a new ring's names somebody else has, one sentence each. */
export function takenNames(
  { namespace, hostnames }: NewRing,
  rings: Iterable<Ring>,
  tenants: Iterable<Tenant>,
): string[] {
  const taken: string[] = [];
  for (const ring of rings) {
    if (namespace !== undefined && ring.namespace === namespace) {
      taken.push(`the namespace ${namespace} is that of ${ring.name} (${ringFile(ring.name)})`);
    }
    for (const hostname of hostnames.filter((each) => ring.hostnames.includes(each))) {
      taken.push(`${hostname} is a hostname of ${ring.name} (${ringFile(ring.name)})`);
    }
  }
  for (const tenant of tenants) {
    for (const hostname of hostnames.filter((each) => tenant.hostnames.includes(each))) {
      taken.push(`${hostname} is a hostname of the tenant ${tenant.id}`);
    }
  }
  return taken;
}

/** A namespace as the other rings have theirs: `shop-edge` of edge makes `shop-beta` of beta. */
export function namespaceLikeOthers(name: string, rings: Iterable<Ring>): string {
  for (const ring of rings) {
    const { namespace = '' } = ring;
    const prefix = namespace.slice(0, -ring.name.length);
    if (prefix.endsWith('-') && namespace === `${prefix}${ring.name}`) return `${prefix}${name}`;
  }
  return name;
}
