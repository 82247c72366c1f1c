-- Compiled from contracts/olist/product_category_translation.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_product_category_translation (
    product_category_name text,
    product_category_name_english text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_product_category_translation is 'English names of the product categories; two categories have none. As landed, all text.';
comment on column raw.olist_product_category_translation.product_category_name is 'Category in Portuguese.';
comment on column raw.olist_product_category_translation.product_category_name_english is 'Category in English.';
comment on column raw.olist_product_category_translation._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_product_category_translation._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_product_category_translation._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_product_category_translation._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_product_category_translation._ingested_at is 'When the file was read, UTC.';
