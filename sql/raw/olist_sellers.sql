-- Compiled from contracts/olist/sellers.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_sellers (
    seller_id text,
    seller_zip_code_prefix text,
    seller_city text,
    seller_state text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_sellers is 'Sellers and where they are. As landed, all text.';
comment on column raw.olist_sellers.seller_id is 'Seller.';
comment on column raw.olist_sellers.seller_zip_code_prefix is 'First five digits of the seller''s zip code.';
comment on column raw.olist_sellers.seller_city is 'City, as the seller wrote it.';
comment on column raw.olist_sellers.seller_state is 'Federal state, two letters (UF).';
comment on column raw.olist_sellers._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_sellers._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_sellers._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_sellers._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_sellers._ingested_at is 'When the file was read, UTC.';
