import semver from 'semver';
import lockSchema from '../../manifests/schema/lock.schema.json' with { type: 'json' };
import moduleSchema from '../../manifests/schema/module.schema.json' with { type: 'json' };
import ringSchema from '../../manifests/schema/ring.schema.json' with { type: 'json' };
import settingsSchema from '../../manifests/schema/settings.schema.json' with { type: 'json' };
import tenantsSchema from '../../manifests/schema/tenants.schema.json' with { type: 'json' };
import { platformFile, ringFile, schemaDirectory, settingsFile, tenantsFile } from './names.ts';
import { satisfies } from './platform.ts';

const schemas = {
  module: moduleSchema,
  lock: lockSchema,
  ring: ringSchema,
  tenants: tenantsSchema,
  settings: settingsSchema,
};

/**
 * The committed files of a new platform but its locks, by path.
 *
 * @param rings from the one that moves last to the one that tracks `modules/`; versions are promoted
 *   from right to left
 * @param branch the deploy branch
 */
export function newPlatformFiles(
  rings: readonly string[],
  platform: string,
  branch: string,
): Record<string, string> {
  const files: Record<string, string> = {
    [platformFile]: `${platform}\n`,
    [settingsFile]: `${schemaLine('settings')}# Folders whose direct children with a module.json are modules.\nroots: [modules]\n`,
    [tenantsFile]: `${schemaLine('tenants')}# Who sits on which ring: \`ringlock ring assign <tenant> <ring> --reason "…"\`.\ntenants: {}\n`,
  };
  for (const [index, ring] of rings.entries()) {
    files[ringFile(ring)] = ringText(ring, rings[index + 1], index === 0, branch);
  }
  for (const [name, schema] of Object.entries(schemas)) {
    files[`${schemaDirectory}/${name}.schema.json`] = `${JSON.stringify(schema, null, 2)}\n`;
  }
  return files;
}

function ringText(
  ring: string,
  from: string | undefined,
  isDefault: boolean,
  branch: string,
): string {
  const lane =
    from === undefined
      ? '# The lock follows modules/ in the same commit.\ntracks: modules\n'
      : `# \`ringlock ring promote <alias> --from ${from} --to ${ring}\`\npromotesFrom: ${from}\n`;
  const tenants = isDefault
    ? '\n# Tenants that tenants.yaml does not name are served from here.\ndefault: true\n'
    : '';
  return `${schemaLine('ring')}branch: ${JSON.stringify(branch)}\n\n${lane}${tenants}`;
}

/** The line by which editors find the schema of a committed file. */
export function schemaLine(name: string): string {
  return `# yaml-language-server: $schema=./schema/${name}.schema.json\n`;
}

/** The least version that every range takes, or 1.0.0 when there is none. */
export function firstPlatformVersion(ranges: readonly string[]): string {
  const least = ranges.flatMap((range) => semver.minVersion(range)?.version ?? []);
  const fits = (version: string) => ranges.every((range) => satisfies(version, range));
  return ['1.0.0', ...least.sort(semver.compare)].find(fits) ?? '1.0.0';
}
