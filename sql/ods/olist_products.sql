-- Compiled from contracts/olist/products.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_products (
    product_id text not null,
    product_category_name text,
    product_name_length integer,
    product_description_length integer,
    product_photos_qty integer,
    product_weight_g integer,
    product_length_cm integer,
    product_height_cm integer,
    product_width_cm integer,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (product_id)
) partition by list (product_id);
create index if not exists olist_products__publish_id_idx on ods.olist_products using brin (_publish_id);
comment on table ods.olist_products is 'Products with category and measures of parcel and listing. One row per product.';
comment on column ods.olist_products.product_id is 'Product.';
comment on column ods.olist_products.product_category_name is 'Category in Portuguese; empty for some 600 products.';
comment on column ods.olist_products.product_name_length is 'Length of the listing''s name, in characters.';
comment on column ods.olist_products.product_description_length is 'Length of the listing''s description, in characters.';
comment on column ods.olist_products.product_photos_qty is 'Number of photos in the listing.';
comment on column ods.olist_products.product_weight_g is 'Weight, in grams; 0 for a few.';
comment on column ods.olist_products.product_length_cm is 'Length of the parcel, in centimetres.';
comment on column ods.olist_products.product_height_cm is 'Height of the parcel, in centimetres.';
comment on column ods.olist_products.product_width_cm is 'Width of the parcel, in centimetres.';
comment on column ods.olist_products._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_products._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_products._publish_id is 'The publish that wrote the row last (ops.publish).';
