-- Compiled from contracts/olist/products.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_products_history (
    product_id text not null,
    product_category_name text,
    product_name_length integer,
    product_description_length integer,
    product_photos_qty integer,
    product_weight_g integer,
    product_length_cm integer,
    product_height_cm integer,
    product_width_cm integer,
    valid_from date not null,
    valid_to date,
    is_deleted boolean not null,
    _batch_id uuid,
    _source_line bigint,
    _publish_id bigint not null,
    primary key (product_id, valid_from)
) partition by list (product_id);
create index if not exists olist_products_history__publish_id_idx on ods.olist_products_history using brin (_publish_id);
comment on table ods.olist_products_history is 'Products with category and measures of parcel and listing. What each delivery changed. One row per product_id and change.';
comment on column ods.olist_products_history.product_id is 'Product.';
comment on column ods.olist_products_history.product_category_name is 'Category in Portuguese; empty for some 600 products.';
comment on column ods.olist_products_history.product_name_length is 'Length of the listing''s name, in characters.';
comment on column ods.olist_products_history.product_description_length is 'Length of the listing''s description, in characters.';
comment on column ods.olist_products_history.product_photos_qty is 'Number of photos in the listing.';
comment on column ods.olist_products_history.product_weight_g is 'Weight, in grams; 0 for a few.';
comment on column ods.olist_products_history.product_length_cm is 'Length of the parcel, in centimetres.';
comment on column ods.olist_products_history.product_height_cm is 'Height of the parcel, in centimetres.';
comment on column ods.olist_products_history.product_width_cm is 'Width of the parcel, in centimetres.';
comment on column ods.olist_products_history.valid_from is 'Date of the delivery since which this is said.';
comment on column ods.olist_products_history.valid_to is 'Date of the delivery that said otherwise, itself excluded; NULL while nobody has.';
comment on column ods.olist_products_history.is_deleted is 'A full delivery lacked the row; then its other columns are NULL.';
comment on column ods.olist_products_history._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_products_history._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_products_history._publish_id is 'The publish that wrote the row last (ops.publish).';
