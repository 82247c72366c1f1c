-- Compiled from contracts/olist/order_items.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_order_items (
    order_id text,
    order_item_id text,
    product_id text,
    seller_id text,
    shipping_limit_date text,
    price text,
    freight_value text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
alter table raw.olist_order_items add column if not exists order_id text;
alter table raw.olist_order_items add column if not exists order_item_id text;
alter table raw.olist_order_items add column if not exists product_id text;
alter table raw.olist_order_items add column if not exists seller_id text;
alter table raw.olist_order_items add column if not exists shipping_limit_date text;
alter table raw.olist_order_items add column if not exists price text;
alter table raw.olist_order_items add column if not exists freight_value text;
comment on table raw.olist_order_items is 'Items of orders: product, seller, price and freight. As landed, all text.';
