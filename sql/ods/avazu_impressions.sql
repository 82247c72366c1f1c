-- Compiled from contracts/avazu/impressions.yaml by `make generate`. Do not edit.
create table if not exists ods.avazu_impressions (
    id numeric(20,0) not null,
    click smallint not null,
    hour timestamp not null,
    c1 integer not null,
    banner_pos smallint not null,
    site_id text not null,
    site_domain text not null,
    site_category text not null,
    app_id text not null,
    app_domain text not null,
    app_category text not null,
    device_id text not null,
    device_ip text not null,
    device_model text not null,
    device_type smallint not null,
    device_conn_type smallint not null,
    c14 integer not null,
    c15 integer not null,
    c16 integer not null,
    c17 integer not null,
    c18 integer not null,
    c19 integer not null,
    c20 integer not null,
    c21 integer not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    _partition_key date not null,
    primary key (id, _partition_key)
) partition by list (_partition_key);
create index if not exists avazu_impressions__publish_id_idx on ods.avazu_impressions using brin (_publish_id);
comment on table ods.avazu_impressions is 'Ad impressions of ten days with their clicks. One row per impression and day of delivery. An id that comes on two days is two rows, whether the days are taken up together or not; an id that comes twice on one day is one, the later line.';
comment on column ods.avazu_impressions.id is 'Impression; needs 64 unsigned bits.';
comment on column ods.avazu_impressions.click is '1 when the ad was clicked, else 0.';
comment on column ods.avazu_impressions.hour is 'Hour of the impression, UTC.';
comment on column ods.avazu_impressions.c1 is 'Anonymised category.';
comment on column ods.avazu_impressions.banner_pos is 'Position of the banner.';
comment on column ods.avazu_impressions.site_id is 'Site, hashed.';
comment on column ods.avazu_impressions.site_domain is 'Domain of the site, hashed.';
comment on column ods.avazu_impressions.site_category is 'Category of the site, hashed.';
comment on column ods.avazu_impressions.app_id is 'App, hashed.';
comment on column ods.avazu_impressions.app_domain is 'Domain of the app, hashed.';
comment on column ods.avazu_impressions.app_category is 'Category of the app, hashed.';
comment on column ods.avazu_impressions.device_id is 'Device, hashed; one value stands for unknown.';
comment on column ods.avazu_impressions.device_ip is 'IP address of the device, hashed.';
comment on column ods.avazu_impressions.device_model is 'Model of the device, hashed.';
comment on column ods.avazu_impressions.device_type is 'Anonymised type of the device.';
comment on column ods.avazu_impressions.device_conn_type is 'Anonymised type of the connection.';
comment on column ods.avazu_impressions.c14 is 'Anonymised category.';
comment on column ods.avazu_impressions.c15 is 'Anonymised category.';
comment on column ods.avazu_impressions.c16 is 'Anonymised category.';
comment on column ods.avazu_impressions.c17 is 'Anonymised category.';
comment on column ods.avazu_impressions.c18 is 'Anonymised category.';
comment on column ods.avazu_impressions.c19 is 'Anonymised category.';
comment on column ods.avazu_impressions.c20 is 'Anonymised category; -1 means unknown.';
comment on column ods.avazu_impressions.c21 is 'Anonymised category.';
comment on column ods.avazu_impressions._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.avazu_impressions._source_line is 'Number of the row in that file, from 1.';
comment on column ods.avazu_impressions._publish_id is 'The publish that wrote the row last (ops.publish).';
comment on column ods.avazu_impressions._partition_key is 'Date of the delivery the row came in.';
