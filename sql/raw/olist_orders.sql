-- Compiled from contracts/olist/orders.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_orders (
    order_id text,
    customer_id text,
    order_status text,
    order_purchase_timestamp text,
    order_approved_at text,
    order_delivered_carrier_date text,
    order_delivered_customer_date text,
    order_estimated_delivery_date text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_orders is 'Orders with their milestones, as the shop system knew them at the end of the delivery''s day. As landed, all text.';
comment on column raw.olist_orders.order_id is 'Order.';
comment on column raw.olist_orders.customer_id is 'The order''s customer record; one per order, so not a person (see customer_unique_id).';
comment on column raw.olist_orders.order_status is 'Where the order stands.';
comment on column raw.olist_orders.order_purchase_timestamp is 'Purchase, Brazilian local time.';
comment on column raw.olist_orders.order_approved_at is 'Payment approved, Brazilian local time; empty when it was not.';
comment on column raw.olist_orders.order_delivered_carrier_date is 'Handed to the carrier, Brazilian local time.';
comment on column raw.olist_orders.order_delivered_customer_date is 'Received by the customer, Brazilian local time.';
comment on column raw.olist_orders.order_estimated_delivery_date is 'The delivery date promised at purchase.';
comment on column raw.olist_orders._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_orders._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_orders._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_orders._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_orders._ingested_at is 'When the file was read, UTC.';
