create table messages (
  id bigint generated always as identity primary key,
  order_number text not null,
  template text not null,
  language char(2) not null,
  sent_at timestamptz,
  unique (order_number, template)
);
