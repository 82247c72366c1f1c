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
alter table raw.avazu_impressions add column if not exists id text;
alter table raw.avazu_impressions add column if not exists click text;
alter table raw.avazu_impressions add column if not exists hour text;
alter table raw.avazu_impressions add column if not exists c1 text;
alter table raw.avazu_impressions add column if not exists banner_pos text;
alter table raw.avazu_impressions add column if not exists site_id text;
alter table raw.avazu_impressions add column if not exists site_domain text;
alter table raw.avazu_impressions add column if not exists site_category text;
alter table raw.avazu_impressions add column if not exists app_id text;
alter table raw.avazu_impressions add column if not exists app_domain text;
alter table raw.avazu_impressions add column if not exists app_category text;
alter table raw.avazu_impressions add column if not exists device_id text;
alter table raw.avazu_impressions add column if not exists device_ip text;
alter table raw.avazu_impressions add column if not exists device_model text;
alter table raw.avazu_impressions add column if not exists device_type text;
alter table raw.avazu_impressions add column if not exists device_conn_type text;
alter table raw.avazu_impressions add column if not exists c14 text;
alter table raw.avazu_impressions add column if not exists c15 text;
alter table raw.avazu_impressions add column if not exists c16 text;
alter table raw.avazu_impressions add column if not exists c17 text;
alter table raw.avazu_impressions add column if not exists c18 text;
alter table raw.avazu_impressions add column if not exists c19 text;
alter table raw.avazu_impressions add column if not exists c20 text;
alter table raw.avazu_impressions add column if not exists c21 text;
comment on table raw.avazu_impressions is 'Ad impressions of ten days with their clicks. As landed, all text.';
