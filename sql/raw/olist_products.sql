-- Compiled from contracts/olist/products.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_products (
    product_id text,
    product_category_name text,
    product_name_lenght text,
    product_description_lenght text,
    product_photos_qty text,
    product_weight_g text,
    product_length_cm text,
    product_height_cm text,
    product_width_cm text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
alter table raw.olist_products add column if not exists product_id text;
alter table raw.olist_products add column if not exists product_category_name text;
alter table raw.olist_products add column if not exists product_name_lenght text;
alter table raw.olist_products add column if not exists product_description_lenght text;
alter table raw.olist_products add column if not exists product_photos_qty text;
alter table raw.olist_products add column if not exists product_weight_g text;
alter table raw.olist_products add column if not exists product_length_cm text;
alter table raw.olist_products add column if not exists product_height_cm text;
alter table raw.olist_products add column if not exists product_width_cm text;
comment on table raw.olist_products is 'Products with category and measures of parcel and listing. As landed, all text.';
