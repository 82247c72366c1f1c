-- Compiled from contracts/olist/product_category_translation.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_product_category_translation (
    product_category_name text not null,
    product_category_name_english text not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (product_category_name)
) partition by list (product_category_name);
create index if not exists olist_product_category_translation__publish_id_idx on ods.olist_product_category_translation using brin (_publish_id);
comment on table ods.olist_product_category_translation is 'English names of the product categories; two categories have none. One row per category.';
comment on column ods.olist_product_category_translation.product_category_name is 'Category in Portuguese.';
comment on column ods.olist_product_category_translation.product_category_name_english is 'Category in English.';
comment on column ods.olist_product_category_translation._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_product_category_translation._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_product_category_translation._publish_id is 'The publish that wrote the row last (ops.publish).';
