-- Shopify delivers a webhook at least once: the id makes the second delivery a no-op.
create table shopify_imports (
  webhook_id uuid primary key,
  shop text not null,
  order_number text not null,
  received_at timestamptz not null default now()
);
