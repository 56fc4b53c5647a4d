create table orders (
  id bigint generated always as identity primary key,
  number text not null unique,
  state text not null default 'placed',
  currency char(3) not null default 'EUR',
  total_minor bigint not null check (total_minor >= 0),
  placed_at timestamptz not null default now()
);

create table order_lines (
  order_id bigint not null references orders (id) on delete cascade,
  line integer not null,
  sku text not null,
  quantity integer not null check (quantity > 0),
  unit_minor bigint not null,
  primary key (order_id, line)
);
