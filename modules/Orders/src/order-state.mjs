/** Which state an order may go to from which. */
const transitions = {
  placed: ['paid', 'cancelled'],
  paid: ['packed', 'refunded'],
  packed: ['shipped', 'refunded'],
  shipped: ['delivered', 'returned'],
  delivered: ['returned'],
  returned: ['refunded'],
  cancelled: [],
  refunded: [],
};

/**
 * @param {string} from
 * @param {string} to
 * @throws {Error} naming the states that are possible
 */
export function requireTransition(from, to) {
  const possible = transitions[from];
  if (possible === undefined) throw new Error(`no order state ${from}`);
  if (!possible.includes(to)) {
    const others = possible.length === 0 ? 'nothing, it is final' : possible.join(' or ');
    throw new Error(`an order that is ${from} cannot become ${to}, only ${others}`);
  }
}
