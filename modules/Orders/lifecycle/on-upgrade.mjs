// Once a ring, before the version goes live: prices the example order with the version that is
// becoming active. A version that gets it wrong ends with 1, and the ring stays where it was.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { event, ring, fromVersion, toVersion, sourcePath } = JSON.parse(readFileSync(0, 'utf8'));
const { priceOrder } = await import(pathToFileURL(join(sourcePath, 'src/price-order.mjs')).href);
const { order, products, total } = JSON.parse(
  readFileSync(join(sourcePath, 'lifecycle/example-order.json'), 'utf8'),
);

const priced = priceOrder(order, products);
const report = { event, ring, from: fromVersion, to: toVersion, total: priced.total };
process.stdout.write(`${JSON.stringify(report)}\n`);
if (priced.total !== total) {
  process.stderr.write(`the example order costs ${priced.total}, expected ${total}\n`);
  process.exitCode = 1;
}
