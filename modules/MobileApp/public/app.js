// Shows the last feed at once, then asks for what is newer.
const list = document.querySelector('#orders');
const offline = document.querySelector('#offline');
const stored = JSON.parse(localStorage.getItem('feed') ?? '{"orders":[],"cursor":null}');

show(stored.orders);
try {
  const query = stored.cursor === null ? '' : `?since=${encodeURIComponent(stored.cursor)}`;
  const feed = await (await fetch(`/api/mobile/orders${query}`)).json();
  const fresh = new Set(feed.orders.map(({ number }) => number));
  const orders = [...feed.orders, ...stored.orders.filter(({ number }) => !fresh.has(number))];
  localStorage.setItem('feed', JSON.stringify({ orders, cursor: feed.cursor }));
  show(orders);
} catch {
  offline.hidden = false;
}

function show(orders) {
  list.replaceChildren(
    ...orders.map(({ number, state }) => {
      const item = document.createElement('li');
      item.textContent = `${number}: ${state}`;
      return item;
    }),
  );
}
