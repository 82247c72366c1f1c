-- Compiled from contracts/olist/order_payments.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_order_payments (
    order_id text,
    payment_sequential text,
    payment_type text,
    payment_installments text,
    payment_value text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
alter table raw.olist_order_payments add column if not exists order_id text;
alter table raw.olist_order_payments add column if not exists payment_sequential text;
alter table raw.olist_order_payments add column if not exists payment_type text;
alter table raw.olist_order_payments add column if not exists payment_installments text;
alter table raw.olist_order_payments add column if not exists payment_value text;
comment on table raw.olist_order_payments is 'Payments of orders; one order may be paid in several ways. As landed, all text.';
