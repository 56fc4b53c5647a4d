import { type MadeModule, makeModule } from '../store/support.ts';

export interface MadeManifest {
  readonly platform?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  /** Further fields of its module.json. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A module with a real module.json, and a file that says its version. */
export function moduleOf(alias: string, version: string, made: MadeManifest = {}): MadeModule {
  const { platform, dependencies, more } = made;
  const manifest = {
    name: alias,
    alias,
    version,
    ...(platform && { compatibility: { platform } }),
    ...(dependencies && { dependencies }),
    ...more,
  };
  return makeModule(alias, version, {
    'module.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'src/version.txt': version,
  });
}

export const products = moduleOf('products', '1.0.0', { platform: '^2.0.0' });
export const orders1 = moduleOf('orders', '1.0.0', { dependencies: { products: '^1.0.0' } });
export const orders2 = moduleOf('orders', '1.1.0', { dependencies: { products: '^1.0.0' } });
export const mobile = moduleOf('mobile', '0.3.0', { dependencies: { orders: '^1.0.0' } });
