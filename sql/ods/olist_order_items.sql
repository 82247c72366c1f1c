-- Compiled from contracts/olist/order_items.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_order_items (
    order_id text not null,
    order_item_id smallint not null,
    product_id text not null,
    seller_id text not null,
    shipping_limit_at timestamp not null,
    price_brl numeric(12,2) not null,
    freight_brl numeric(12,2) not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (order_id, order_item_id)
) partition by list (order_id);
create index if not exists olist_order_items__publish_id_idx on ods.olist_order_items using brin (_publish_id);
create index if not exists olist_order_items_product_id_idx on ods.olist_order_items (product_id);
create index if not exists olist_order_items_seller_id_idx on ods.olist_order_items (seller_id);
comment on table ods.olist_order_items is 'Items of orders: product, seller, price and freight. One row per item of an order; three pieces of one product are three rows.';
comment on column ods.olist_order_items.order_id is 'Order.';
comment on column ods.olist_order_items.order_item_id is 'Number of the item within its order, from 1.';
comment on column ods.olist_order_items.product_id is 'Product.';
comment on column ods.olist_order_items.seller_id is 'Seller.';
comment on column ods.olist_order_items.shipping_limit_at is 'Until when the seller has to hand the item to the carrier, Brazilian local time.';
comment on column ods.olist_order_items.price_brl is 'Price of the item, in BRL.';
comment on column ods.olist_order_items.freight_brl is 'Freight of the item, in BRL (an order''s freight is split over its items by the source).';
comment on column ods.olist_order_items._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_order_items._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_order_items._publish_id is 'The publish that wrote the row last (ops.publish).';
