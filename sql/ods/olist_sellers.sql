-- Compiled from contracts/olist/sellers.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_sellers (
    seller_id text not null,
    zip_code_prefix text not null,
    city text not null,
    state text not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (seller_id)
) partition by list (seller_id);
create index if not exists olist_sellers__publish_id_idx on ods.olist_sellers using brin (_publish_id);
comment on table ods.olist_sellers is 'Sellers and where they are. One row per seller.';
comment on column ods.olist_sellers.seller_id is 'Seller.';
comment on column ods.olist_sellers.zip_code_prefix is 'First five digits of the seller''s zip code.';
comment on column ods.olist_sellers.city is 'City, as the seller wrote it.';
comment on column ods.olist_sellers.state is 'Federal state, two letters (UF).';
comment on column ods.olist_sellers._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_sellers._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_sellers._publish_id is 'The publish that wrote the row last (ops.publish).';
