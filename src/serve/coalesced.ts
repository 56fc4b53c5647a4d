/**
 * Calls that come close together become few: the first acts at once, those that follow within `everyMs`
 * act together at the end of it.
 */
export function coalesced(act: () => void, everyMs: number): () => void {
  let last = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  const actNow = () => {
    timer = undefined;
    last = performance.now();
    act();
  };
  return () => {
    if (timer !== undefined) return;
    const rest = last + everyMs - performance.now();
    if (rest <= 0) actNow();
    else timer = setTimeout(actNow, rest).unref();
  };
}
