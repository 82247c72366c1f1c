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
comment on table raw.olist_products is 'Products with category and measures of parcel and listing. As landed, all text.';
comment on column raw.olist_products.product_id is 'Product.';
comment on column raw.olist_products.product_category_name is 'Category in Portuguese; empty for some 600 products.';
comment on column raw.olist_products.product_name_lenght is 'Length of the listing''s name, in characters.';
comment on column raw.olist_products.product_description_lenght is 'Length of the listing''s description, in characters.';
comment on column raw.olist_products.product_photos_qty is 'Number of photos in the listing.';
comment on column raw.olist_products.product_weight_g is 'Weight, in grams; 0 for a few.';
comment on column raw.olist_products.product_length_cm is 'Length of the parcel, in centimetres.';
comment on column raw.olist_products.product_height_cm is 'Height of the parcel, in centimetres.';
comment on column raw.olist_products.product_width_cm is 'Width of the parcel, in centimetres.';
comment on column raw.olist_products._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_products._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_products._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_products._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_products._ingested_at is 'When the file was read, UTC.';
