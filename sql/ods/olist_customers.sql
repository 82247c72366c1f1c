-- Compiled from contracts/olist/customers.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_customers (
    customer_id text not null,
    customer_unique_id text not null,
    zip_code_prefix text not null,
    city text not null,
    state text not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (customer_id)
) partition by list (customer_id);
create index if not exists olist_customers__publish_id_idx on ods.olist_customers using brin (_publish_id);
create index if not exists olist_customers_customer_unique_id_idx on ods.olist_customers (customer_unique_id);
comment on table ods.olist_customers is 'Customer records; each order has its own, the person is customer_unique_id. One row per customer record, that is per order.';
comment on column ods.olist_customers.customer_id is 'Customer record.';
comment on column ods.olist_customers.customer_unique_id is 'The person, the same over all of their orders.';
comment on column ods.olist_customers.zip_code_prefix is 'First five digits of the address''s zip code.';
comment on column ods.olist_customers.city is 'City of the address, lower case, without accents.';
comment on column ods.olist_customers.state is 'Federal state, two letters (UF).';
comment on column ods.olist_customers._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_customers._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_customers._publish_id is 'The publish that wrote the row last (ops.publish).';
