import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireTransition } from '../src/order-state.mjs';
import { priceOrder } from '../src/price-order.mjs';

const products = [
  { sku: 'MUG', price: 1250, weight_grams: 340, tiers: [{ from: 6, price: 1150 }] },
  { sku: 'TEA', price: 780, weight_grams: 120 },
];
const order = (...lines) => ({
  id: 'A-1',
  lines: lines.map(([sku, quantity]) => ({ sku, quantity })),
});

test('ships by weight below the free limit', () => {
  const { subtotal, shipping, total } = priceOrder(order(['MUG', 1], ['TEA', 2]), products);
  assert.deepEqual({ subtotal, shipping, total }, { subtotal: 2810, shipping: 590, total: 3400 });
});

test('takes the tier that the quantity reaches, and ships free from 60.00 on', () => {
  const { subtotal, shipping } = priceOrder(order(['MUG', 6]), products);
  assert.deepEqual({ subtotal, shipping }, { subtotal: 6900, shipping: 0 });
});

test('names a product that the catalogue lacks', () => {
  assert.throws(() => priceOrder(order(['CUP', 1]), products), /order A-1: no product CUP/);
});

test('refuses to ship what is cancelled', () => {
  requireTransition('packed', 'shipped');
  assert.throws(() => requireTransition('cancelled', 'shipped'), /it is final/);
});
