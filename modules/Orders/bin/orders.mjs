#!/usr/bin/env node
// Prices an order: orders.mjs price ORDER.json < CATALOGUE.json
// where the catalogue is what `products.py list` prints.
import { readFileSync } from 'node:fs';
import { priceOrder } from '../src/price-order.mjs';

const [verb, file] = process.argv.slice(2);
if (verb !== 'price' || file === undefined) {
  process.stderr.write('usage: orders.mjs price ORDER.json < CATALOGUE.json\n');
  process.exit(2);
}
const order = JSON.parse(readFileSync(file, 'utf8'));
const { products } = JSON.parse(readFileSync(0, 'utf8'));
try {
  process.stdout.write(`${JSON.stringify(priceOrder(order, products), null, 2)}\n`);
} catch (error) {
  process.stderr.write(`orders: ${error.message}\n`);
  process.exit(1);
}
