import { type Document, isMap } from 'yaml';
import { type Gates, type GatesYaml, parseGates } from './gates.ts';
import { ringFile } from './names.ts';
import { invalidValue, parseYamlFile } from './source-text.ts';
import { ringValidator } from './validators.ts';
import { withYamlValue, yamlStyle } from './yaml-edit.ts';

export interface Hold {
  readonly version: string;
  readonly reason: string;
  /** RFC 3339. */
  readonly since?: string;
  readonly by?: string;
}

export interface Suspension {
  readonly reason?: string;
  readonly since?: string;
  readonly by?: string;
}

export interface Ring {
  readonly name: string;
  readonly description: string | undefined;
  readonly namespace: string | undefined;
  readonly hostnames: readonly string[];
  /** The deploy branch. */
  readonly branch: string;
  /** Whether the lock follows `modules/` in the same commit. */
  readonly tracking: boolean;
  /** The ring that versions come from, for a pinned ring. */
  readonly promotesFrom: string | undefined;
  readonly isDefault: boolean;
  readonly suspended: Suspension | undefined;
  /** Modules that stay at a version, by alias. */
  readonly holds: ReadonlyMap<string, Hold>;
  /** What has to be so before a version is promoted to it. */
  readonly gates: Gates;
}

/** A ring's file with its YAML, for edits that keep comments and order. */
export interface RingFile {
  readonly ring: Ring;
  readonly document: Document;
  readonly text: string;
}

interface RingYaml {
  readonly description?: string;
  readonly namespace?: string;
  readonly hostnames?: readonly string[];
  readonly branch?: string;
  readonly tracks?: 'modules';
  readonly promotesFrom?: string;
  readonly default?: boolean;
  readonly suspended?: boolean | Suspension;
  readonly holds?: Readonly<Record<string, Hold>>;
  readonly gates?: GatesYaml;
}

/** @throws RinglockError `invalid-yaml`, `invalid-file` */
export function parseRingFile(text: string, name: string, file = ringFile(name)): RingFile {
  const { value, document } = parseYamlFile(text, file, ringValidator);
  const yaml = value as RingYaml;
  if (yaml.promotesFrom === name) {
    throw invalidValue(text, file, ['promotesFrom'], name, 'another ring');
  }
  const { suspended } = yaml;
  return {
    document,
    text,
    ring: {
      name,
      description: yaml.description,
      namespace: yaml.namespace,
      hostnames: yaml.hostnames ?? [],
      branch: yaml.branch ?? 'main',
      tracking: yaml.tracks === 'modules',
      promotesFrom: yaml.promotesFrom,
      isDefault: yaml.default ?? false,
      suspended: suspended === true ? {} : suspended === false ? undefined : suspended,
      holds: new Map(Object.entries(yaml.holds ?? {})),
      gates: parseGates(yaml.gates, text, file),
    },
  };
}

/** The file's text with a hold added or replaced; comments and order stay. */
export function withHold(file: RingFile, alias: string, hold: Hold): string {
  return withYamlValue(file.text, ['holds', alias], hold);
}

/** The file's text without the hold; comments and order stay. */
export function withoutHold(file: RingFile, alias: string): string {
  const document = file.document.clone() as Document;
  document.deleteIn(['holds', alias]);
  const holds = document.get('holds');
  if (isMap(holds) && holds.items.length === 0) document.delete('holds');
  return document.toString(yamlStyle);
}

/** Rings from the one that tracks `modules/` along `promotesFrom`, then alphabetically. */
export function promotionOrder(rings: readonly Ring[]): Ring[] {
  const depth = new Map<string, number>();
  const byName = new Map(rings.map((ring) => [ring.name, ring]));
  for (const ring of rings) {
    const seen = new Set<string>();
    let at: Ring | undefined = ring;
    while (at?.promotesFrom !== undefined && !seen.has(at.name)) {
      seen.add(at.name);
      at = byName.get(at.promotesFrom);
    }
    depth.set(ring.name, seen.size);
  }
  const depthOf = (ring: Ring) => depth.get(ring.name) ?? 0;
  return [...rings].sort((a, b) => depthOf(a) - depthOf(b) || (a.name < b.name ? -1 : 1));
}
