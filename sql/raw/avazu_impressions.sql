-- Compiled from contracts/avazu/impressions.yaml by `make generate`. Do not edit.
create table if not exists raw.avazu_impressions (
    id text,
    click text,
    hour text,
    c1 text,
    banner_pos text,
    site_id text,
    site_domain text,
    site_category text,
    app_id text,
    app_domain text,
    app_category text,
    device_id text,
    device_ip text,
    device_model text,
    device_type text,
    device_conn_type text,
    c14 text,
    c15 text,
    c16 text,
    c17 text,
    c18 text,
    c19 text,
    c20 text,
    c21 text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.avazu_impressions is 'Ad impressions of ten days with their clicks. As landed, all text.';
comment on column raw.avazu_impressions.id is 'Impression; needs 64 unsigned bits.';
comment on column raw.avazu_impressions.click is '1 when the ad was clicked, else 0.';
comment on column raw.avazu_impressions.hour is 'Hour of the impression, UTC.';
comment on column raw.avazu_impressions.c1 is 'Anonymised category.';
comment on column raw.avazu_impressions.banner_pos is 'Position of the banner.';
comment on column raw.avazu_impressions.site_id is 'Site, hashed.';
comment on column raw.avazu_impressions.site_domain is 'Domain of the site, hashed.';
comment on column raw.avazu_impressions.site_category is 'Category of the site, hashed.';
comment on column raw.avazu_impressions.app_id is 'App, hashed.';
comment on column raw.avazu_impressions.app_domain is 'Domain of the app, hashed.';
comment on column raw.avazu_impressions.app_category is 'Category of the app, hashed.';
comment on column raw.avazu_impressions.device_id is 'Device, hashed; one value stands for unknown.';
comment on column raw.avazu_impressions.device_ip is 'IP address of the device, hashed.';
comment on column raw.avazu_impressions.device_model is 'Model of the device, hashed.';
comment on column raw.avazu_impressions.device_type is 'Anonymised type of the device.';
comment on column raw.avazu_impressions.device_conn_type is 'Anonymised type of the connection.';
comment on column raw.avazu_impressions.c14 is 'Anonymised category.';
comment on column raw.avazu_impressions.c15 is 'Anonymised category.';
comment on column raw.avazu_impressions.c16 is 'Anonymised category.';
comment on column raw.avazu_impressions.c17 is 'Anonymised category.';
comment on column raw.avazu_impressions.c18 is 'Anonymised category.';
comment on column raw.avazu_impressions.c19 is 'Anonymised category.';
comment on column raw.avazu_impressions.c20 is 'Anonymised category; -1 means unknown.';
comment on column raw.avazu_impressions.c21 is 'Anonymised category.';
comment on column raw.avazu_impressions._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.avazu_impressions._source_key is 'Name of that file in the landing zone.';
comment on column raw.avazu_impressions._source_hash is 'Hash of that file''s content.';
comment on column raw.avazu_impressions._source_line is 'Number of the row in that file, from 1.';
comment on column raw.avazu_impressions._ingested_at is 'When the file was read, UTC.';
