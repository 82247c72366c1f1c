-- Compiled from contracts/olist/geolocation.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_geolocation (
    geolocation_zip_code_prefix text,
    geolocation_lat text,
    geolocation_lng text,
    geolocation_city text,
    geolocation_state text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_geolocation is 'Coordinates seen for zip code prefixes; many per prefix, a fifth of them exact duplicates. As landed, all text.';
comment on column raw.olist_geolocation.geolocation_zip_code_prefix is 'First five digits of a zip code.';
comment on column raw.olist_geolocation.geolocation_lat is 'Latitude, degrees (WGS 84).';
comment on column raw.olist_geolocation.geolocation_lng is 'Longitude, degrees (WGS 84).';
comment on column raw.olist_geolocation.geolocation_city is 'City, as written by the source: with and without accents.';
comment on column raw.olist_geolocation.geolocation_state is 'Federal state, two letters (UF).';
comment on column raw.olist_geolocation._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_geolocation._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_geolocation._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_geolocation._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_geolocation._ingested_at is 'When the file was read, UTC.';
