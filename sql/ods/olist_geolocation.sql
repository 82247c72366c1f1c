-- Compiled from contracts/olist/geolocation.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_geolocation (
    zip_code_prefix text not null,
    latitude_deg double precision not null,
    longitude_deg double precision not null,
    city text not null,
    state text not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (zip_code_prefix, latitude_deg, longitude_deg, city, state)
) partition by list (zip_code_prefix);
create index if not exists olist_geolocation__publish_id_idx on ods.olist_geolocation using brin (_publish_id);
comment on table ods.olist_geolocation is 'Coordinates seen for zip code prefixes; many per prefix, a fifth of them exact duplicates. One row per distinct reading.';
comment on column ods.olist_geolocation.zip_code_prefix is 'First five digits of a zip code.';
comment on column ods.olist_geolocation.latitude_deg is 'Latitude, degrees (WGS 84).';
comment on column ods.olist_geolocation.longitude_deg is 'Longitude, degrees (WGS 84).';
comment on column ods.olist_geolocation.city is 'City, as written by the source: with and without accents.';
comment on column ods.olist_geolocation.state is 'Federal state, two letters (UF).';
comment on column ods.olist_geolocation._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_geolocation._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_geolocation._publish_id is 'The publish that wrote the row last (ops.publish).';
