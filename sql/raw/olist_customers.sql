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
comment on table raw.olist_customers is 'Customer records; each order has its own, the person is customer_unique_id. As landed, all text.';
comment on column raw.olist_customers.customer_id is 'Customer record.';
comment on column raw.olist_customers.customer_unique_id is 'The person, the same over all of their orders.';
comment on column raw.olist_customers.customer_zip_code_prefix is 'First five digits of the address''s zip code.';
comment on column raw.olist_customers.customer_city is 'City of the address, lower case, without accents.';
comment on column raw.olist_customers.customer_state is 'Federal state, two letters (UF).';
comment on column raw.olist_customers._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_customers._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_customers._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_customers._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_customers._ingested_at is 'When the file was read, UTC.';
