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
alter table raw.olist_orders add column if not exists order_id text;
alter table raw.olist_orders add column if not exists customer_id text;
alter table raw.olist_orders add column if not exists order_status text;
alter table raw.olist_orders add column if not exists order_purchase_timestamp text;
alter table raw.olist_orders add column if not exists order_approved_at text;
alter table raw.olist_orders add column if not exists order_delivered_carrier_date text;
alter table raw.olist_orders add column if not exists order_delivered_customer_date text;
alter table raw.olist_orders add column if not exists order_estimated_delivery_date text;
comment on table raw.olist_orders is 'Orders with their milestones, as the shop system knew them at the end of the delivery''s day. As landed, all text.';
