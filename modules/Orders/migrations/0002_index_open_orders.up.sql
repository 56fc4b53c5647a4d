create index orders_open on orders (placed_at) where state in ('placed', 'paid', 'packed');
