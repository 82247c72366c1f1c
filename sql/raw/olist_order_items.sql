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
comment on table raw.olist_order_items is 'Items of orders: product, seller, price and freight. As landed, all text.';
comment on column raw.olist_order_items.order_id is 'Order.';
comment on column raw.olist_order_items.order_item_id is 'Number of the item within its order, from 1.';
comment on column raw.olist_order_items.product_id is 'Product.';
comment on column raw.olist_order_items.seller_id is 'Seller.';
comment on column raw.olist_order_items.shipping_limit_date is 'Until when the seller has to hand the item to the carrier, Brazilian local time.';
comment on column raw.olist_order_items.price is 'Price of the item, in BRL.';
comment on column raw.olist_order_items.freight_value is 'Freight of the item, in BRL (an order''s freight is split over its items by the source).';
comment on column raw.olist_order_items._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_order_items._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_order_items._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_order_items._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_order_items._ingested_at is 'When the file was read, UTC.';
