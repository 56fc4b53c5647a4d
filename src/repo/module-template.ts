import semver from 'semver';

export interface ModuleTemplate {
  /** `StoreShopify`. */
  readonly name: string;
  readonly alias: string;
  /** The platform's version. */
  readonly platform: string;
  /** `2026-11-24`, for the changelog. */
  readonly date: string;
}

/** `StoreShopify` as `store-shopify`, `HTTPServer2` as `http-server2`. */
export function aliasOfName(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .toLowerCase();
}

/** The files of a new module, by path inside it. */
export function newModuleFiles({
  name,
  alias,
  platform,
  date,
}: ModuleTemplate): Record<string, string> {
  const manifest = {
    $schema: '../../manifests/schema/module.schema.json',
    name,
    alias,
    version: '0.1.0',
    description: `What ${name} does, in one sentence.`,
    compatibility: { platform: platformRange(platform) },
    dependencies: {},
    distribution: { exclude: ['tests'] },
  };
  return {
    'module.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'CHANGELOG.md': `# ${name}\n\n## 0.1.0 - ${date}\n\n- The first version.\n`,
    'README.md': `# ${name}\n\nWhat it is for, and how the platform calls it.\n\n- \`src/\`: its code\n- \`tests/\`: its tests; neither installed nor digested, so that changing them needs no bump\n`,
    'src/index.mjs': `export const name = '${alias}';\n`,
    'tests/index.test.mjs': `import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nimport { name } from '../src/index.mjs';\n\ntest('has its name', () => assert.equal(name, '${alias}'));\n`,
  };
}

/** `^2.1.0`; of a prerelease from it up to the next major version. */
function platformRange(platform: string): string {
  const { major, minor } = semver.parse(platform) ?? { major: 0, minor: 0 };
  return semver.prerelease(platform) === null
    ? `^${major}.${minor}.0`
    : `>=${platform} <${major + 1}.0.0`;
}
