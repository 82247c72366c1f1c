-- Compiled from contracts/olist/orders.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_orders (
    order_id text not null,
    customer_id text not null,
    order_status text not null,
    order_purchased_at timestamp not null,
    order_approved_at timestamp,
    order_delivered_carrier_at timestamp,
    order_delivered_customer_at timestamp,
    order_estimated_delivery_date date not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (order_id)
) partition by list (order_id);
create index if not exists olist_orders__publish_id_idx on ods.olist_orders using brin (_publish_id);
create index if not exists olist_orders_customer_id_idx on ods.olist_orders (customer_id);
create index if not exists olist_orders_order_purchased_at_idx on ods.olist_orders (order_purchased_at);
comment on table ods.olist_orders is 'Orders with their milestones, as the shop system knew them at the end of the delivery''s day. One row per order.';
comment on column ods.olist_orders.order_id is 'Order.';
comment on column ods.olist_orders.customer_id is 'The order''s customer record; one per order, so not a person (see customer_unique_id).';
comment on column ods.olist_orders.order_status is 'Where the order stands.';
comment on column ods.olist_orders.order_purchased_at is 'Purchase, Brazilian local time.';
comment on column ods.olist_orders.order_approved_at is 'Payment approved, Brazilian local time; empty when it was not.';
comment on column ods.olist_orders.order_delivered_carrier_at is 'Handed to the carrier, Brazilian local time.';
comment on column ods.olist_orders.order_delivered_customer_at is 'Received by the customer, Brazilian local time.';
comment on column ods.olist_orders.order_estimated_delivery_date is 'The delivery date promised at purchase.';
comment on column ods.olist_orders._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_orders._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_orders._publish_id is 'The publish that wrote the row last (ops.publish).';
