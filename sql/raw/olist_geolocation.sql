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
alter table raw.olist_geolocation add column if not exists geolocation_zip_code_prefix text;
alter table raw.olist_geolocation add column if not exists geolocation_lat text;
alter table raw.olist_geolocation add column if not exists geolocation_lng text;
alter table raw.olist_geolocation add column if not exists geolocation_city text;
alter table raw.olist_geolocation add column if not exists geolocation_state text;
comment on table raw.olist_geolocation is 'Coordinates seen for zip code prefixes; many per prefix, a fifth of them exact duplicates. As landed, all text.';
