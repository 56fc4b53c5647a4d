/** Shipping in minor units, by total weight in grams; the last step has no limit. */
const shippingSteps = [
  { upToGrams: 500, price: 390 },
  { upToGrams: 2000, price: 590 },
  { upToGrams: Number.POSITIVE_INFINITY, price: 990 },
];

/** Orders from this value on ship free, in minor units. */
const freeShippingFrom = 6000;

/**
 * Prices an order's lines against the catalogue.
 *
 * @param {{id: string, lines: {sku: string, quantity: number}[]}} order
 * @param {{sku: string, price: number, weight_grams: number, tiers?: {from: number, price: number}[]}[]} products
 * @returns {{id: string, lines: object[], subtotal: number, shipping: number, total: number}} in minor units
 * @throws {Error} naming the SKU that the catalogue lacks, or the quantity that cannot be
 */
export function priceOrder(order, products) {
  const bySku = new Map(products.map((product) => [product.sku, product]));
  const lines = order.lines.map(({ sku, quantity }) => {
    const product = bySku.get(sku);
    if (product === undefined) throw new Error(`order ${order.id}: no product ${sku}`);
    if (!Number.isInteger(quantity) || quantity < 1) {
      throw new Error(
        `order ${order.id}: the quantity of ${sku} is ${quantity}, expected 1 or more`,
      );
    }
    const unit = unitPrice(product, quantity);
    return { sku, quantity, unit, total: unit * quantity, grams: product.weight_grams * quantity };
  });
  const subtotal = sum(lines.map(({ total }) => total));
  const shipping = shippingPrice(subtotal, sum(lines.map(({ grams }) => grams)));
  return { id: order.id, lines, subtotal, shipping, total: subtotal + shipping };
}

function unitPrice({ price, tiers = [] }, quantity) {
  const reached = tiers.filter(({ from }) => quantity >= from).sort((a, b) => b.from - a.from);
  return reached[0]?.price ?? price;
}

function shippingPrice(subtotal, grams) {
  if (subtotal >= freeShippingFrom) return 0;
  return shippingSteps.find(({ upToGrams }) => grams <= upToGrams).price;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
