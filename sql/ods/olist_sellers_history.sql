-- Compiled from contracts/olist/sellers.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_sellers_history (
    seller_id text not null,
    zip_code_prefix text,
    city text,
    state text,
    valid_from date not null,
    valid_to date,
    is_deleted boolean not null,
    _batch_id uuid,
    _source_line bigint,
    _publish_id bigint not null,
    primary key (seller_id, valid_from)
) partition by list (seller_id);
create index if not exists olist_sellers_history__publish_id_idx on ods.olist_sellers_history using brin (_publish_id);
comment on table ods.olist_sellers_history is 'Sellers and where they are. What each delivery changed. One row per seller_id and change.';
comment on column ods.olist_sellers_history.seller_id is 'Seller.';
comment on column ods.olist_sellers_history.zip_code_prefix is 'First five digits of the seller''s zip code.';
comment on column ods.olist_sellers_history.city is 'City, as the seller wrote it.';
comment on column ods.olist_sellers_history.state is 'Federal state, two letters (UF).';
comment on column ods.olist_sellers_history.valid_from is 'Date of the delivery since which this is said.';
comment on column ods.olist_sellers_history.valid_to is 'Date of the delivery that said otherwise, itself excluded; NULL while nobody has.';
comment on column ods.olist_sellers_history.is_deleted is 'A full delivery lacked the row; then its other columns are NULL.';
comment on column ods.olist_sellers_history._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_sellers_history._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_sellers_history._publish_id is 'The publish that wrote the row last (ops.publish).';
