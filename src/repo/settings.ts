import { settingsFile } from './names.ts';
import { parseYamlFile } from './source-text.ts';
import { settingsValidator } from './validators.ts';

export interface Settings {
  /** Folders whose direct children with a module.json are modules. */
  readonly roots: readonly string[];
  /** The most files that one module may have. */
  readonly maxFiles: number;
  readonly policy: Policy;
}

export interface Policy {
  /** What an incompatible module does to its commit: refuses it, or is left out with its dependents. */
  readonly incompatible: 'refuse' | 'skip';
  readonly onFailure: 'hold' | 'block';
  /** The share of a ring's modules that one lock may remove, 0 to 1. */
  readonly maxRemovals: number;
}

export const defaultSettings: Settings = {
  roots: ['modules'],
  maxFiles: 100_000,
  policy: { incompatible: 'refuse', onFailure: 'hold', maxRemovals: 0.5 },
};

/** @throws RinglockError `invalid-yaml`, `invalid-file` */
export function parseSettings(text: string, file = settingsFile): Settings {
  const yaml = parseYamlFile(text, file, settingsValidator).value as SettingsYaml;
  return {
    roots: yaml.roots ?? defaultSettings.roots,
    maxFiles: yaml.limits?.files ?? defaultSettings.maxFiles,
    policy: { ...defaultSettings.policy, ...yaml.policy },
  };
}

interface SettingsYaml {
  readonly roots?: readonly string[];
  readonly limits?: { readonly files?: number };
  readonly policy?: Partial<Policy>;
}
