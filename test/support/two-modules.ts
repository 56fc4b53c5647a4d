import type { TestContext } from 'node:test';
import { createRepository, type Repository } from './repository.ts';

/** A module.json's text. */
export function moduleJson(
  alias: string,
  version = '1.0.0',
  more: Readonly<Record<string, unknown>> = {},
): string {
  return `${JSON.stringify({ name: alias, alias, version, ...more }, null, 2)}\n`;
}

/** An uncommitted platform: VERSION 2.0.0, a tracking ring `canary`, the modules Orders and Products. */
export function createTwoModules(t: TestContext, ...initArgs: string[]): Repository {
  const repository = createRepository(t, ...initArgs);
  repository.write({
    VERSION: '2.0.0\n',
    'manifests/canary.ring.yaml': 'tracks: modules\n',
    'modules/Orders/module.json': moduleJson('orders', '1.0.0', {
      dependencies: { products: '^1.0.0' },
    }),
    'modules/Orders/src/orders.js': 'export const orders = 1;\n',
    'modules/Orders/CHANGELOG.md': '# Changelog\n',
    'modules/Products/module.json': moduleJson('products'),
    'modules/Products/src/products.js': 'export const products = 1;\n',
  });
  return repository;
}
