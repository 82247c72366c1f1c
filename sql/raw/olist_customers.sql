-- Compiled from contracts/olist/customers.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_customers (
    customer_id text,
    customer_unique_id text,
    customer_zip_code_prefix text,
    customer_city text,
    customer_state text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
alter table raw.olist_customers add column if not exists customer_id text;
alter table raw.olist_customers add column if not exists customer_unique_id text;
alter table raw.olist_customers add column if not exists customer_zip_code_prefix text;
alter table raw.olist_customers add column if not exists customer_city text;
alter table raw.olist_customers add column if not exists customer_state text;
comment on table raw.olist_customers is 'Customer records; each order has its own, the person is customer_unique_id. As landed, all text.';
