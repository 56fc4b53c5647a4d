create table product_price_tiers (
  sku text not null references products (sku) on delete cascade,
  from_quantity integer not null check (from_quantity > 1),
  price_minor bigint not null check (price_minor >= 0),
  primary key (sku, from_quantity)
);
