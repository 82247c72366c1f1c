/*
description: >
  Products as a type 2 slowly changing dimension. The source gives no dates for products, so a version is dated by the delivery
  that brought it: the first known version is valid from the beginning, a later delivery with other attributes (a
  corrected category translation included) closes it and opens a new one at the delivery's date. A delivery for the same date
  again replaces what the first one opened; a delivery for an earlier date corrects the last version, because history that later
  deliveries brought must stay. A product that the source no longer lists keeps its last version.
source: olist
grain: one row per product and version of its attributes
key: [product_key]
affected_by: product_id
columns:
  product_key: Surrogate key of the version, md5 of product and valid_from; facts refer to it
  product_id: The product
  category_name: Category in Portuguese; NULL when the source gives none
  category_name_english: English category; the Portuguese name where there is no translation; unknown without a category
  product_name_length: Characters of the product's name
  product_description_length: Characters of its description
  product_photos_qty: Published photos
  product_weight_g: Weight in grams; 0 occurs in the source
  product_length_cm: Length in centimetres
  product_height_cm: Height in centimetres
  product_width_cm: Width in centimetres
  observed_date: Date of the delivery that opened the version
  valid_from: Start of validity, inclusive; 1900-01-01 for the first version
  valid_to: End of validity, exclusive; NULL while current
  is_current: The version that is valid now
rules:
  - name: versions_do_not_overlap
    severity: hard
    description: At any time at most one version of a product is valid
    sql: >
      SELECT earlier.product_key FROM staged AS earlier
      INNER JOIN staged AS later
      ON earlier.product_id = later.product_id AND earlier.valid_from < later.valid_from
      WHERE earlier.valid_to IS NULL OR earlier.valid_to > later.valid_from
  - name: versions_have_a_length
    severity: hard
    description: A version ends after it begins
    sql: SELECT product_key FROM staged WHERE valid_to <= valid_from
  - name: one_current_version
    severity: hard
    description: Exactly one version of each product is current, and it is the open one
    sql: >
      SELECT min(product_key) AS product_key FROM staged GROUP BY product_id
      HAVING sum(CASE WHEN is_current THEN 1 ELSE 0 END) <> 1
      OR sum(CASE WHEN is_current <> (valid_to IS NULL) THEN 1 ELSE 0 END) > 0
  - name: first_version_covers_the_past
    severity: hard
    description: The first version is valid from the beginning, so that every order finds one
    sql: >
      SELECT min(product_key) AS product_key FROM staged GROUP BY product_id
      HAVING min(valid_from) <> TIMESTAMP '1900-01-01 00:00:00'
*/
with source_rows as (
    select
        products.product_id,
        products.product_category_name as category_name,
        coalesce(
            translations.product_category_name_english, products.product_category_name, 'unknown'
        ) as category_name_english,
        products.product_name_length,
        products.product_description_length,
        products.product_photos_qty,
        products.product_weight_g,
        products.product_length_cm,
        products.product_height_cm,
        products.product_width_cm
    from affected.product_id as unit
    inner join ods.olist_products as products on unit.product_id = products.product_id
    left join ods.olist_product_category_translation as translations
        on products.product_category_name = translations.product_category_name
),

-- the date from which a version is computed anew
openings as (
    select
        unit.product_id,
        greatest(
            delivery.partition_key, coalesce(max(published.observed_date), delivery.partition_key)
        ) as opening_date
    from affected.product_id as unit
    cross join delivery
    left join gold.dim_product as published on unit.product_id = published.product_id
    group by unit.product_id, delivery.partition_key
),

-- versions that earlier deliveries opened; what this date opened before is computed anew
kept as (
    select
        published.product_id,
        published.category_name,
        published.category_name_english,
        published.product_name_length,
        published.product_description_length,
        published.product_photos_qty,
        published.product_weight_g,
        published.product_length_cm,
        published.product_height_cm,
        published.product_width_cm,
        published.observed_date,
        published.valid_from,
        row_number() over (
            partition by published.product_id order by published.valid_from desc
        ) as recency_rank
    from openings
    inner join gold.dim_product as published on openings.product_id = published.product_id
    where published.observed_date < openings.opening_date
),

opened as (
    select
        source_rows.*,
        openings.opening_date as observed_date,
        case
            when latest.product_id is null then timestamp '1900-01-01 00:00:00'
            else cast(openings.opening_date as timestamp)
        end as valid_from
    from source_rows
    inner join openings on source_rows.product_id = openings.product_id
    left join kept as latest on source_rows.product_id = latest.product_id and latest.recency_rank = 1
    where
        latest.product_id is null
        or source_rows.category_name is distinct from latest.category_name
        or source_rows.category_name_english is distinct from latest.category_name_english
        or source_rows.product_name_length is distinct from latest.product_name_length
        or source_rows.product_description_length is distinct from latest.product_description_length
        or source_rows.product_photos_qty is distinct from latest.product_photos_qty
        or source_rows.product_weight_g is distinct from latest.product_weight_g
        or source_rows.product_length_cm is distinct from latest.product_length_cm
        or source_rows.product_height_cm is distinct from latest.product_height_cm
        or source_rows.product_width_cm is distinct from latest.product_width_cm
),

versions as (
    select
        kept.product_id,
        kept.category_name,
        kept.category_name_english,
        kept.product_name_length,
        kept.product_description_length,
        kept.product_photos_qty,
        kept.product_weight_g,
        kept.product_length_cm,
        kept.product_height_cm,
        kept.product_width_cm,
        kept.observed_date,
        kept.valid_from
    from kept
    union all
    select
        opened.product_id,
        opened.category_name,
        opened.category_name_english,
        opened.product_name_length,
        opened.product_description_length,
        opened.product_photos_qty,
        opened.product_weight_g,
        opened.product_length_cm,
        opened.product_height_cm,
        opened.product_width_cm,
        opened.observed_date,
        opened.valid_from
    from opened
),

ranges as (
    select
        versions.*,
        lead(versions.valid_from) over (
            partition by versions.product_id order by versions.valid_from
        ) as valid_to
    from versions
)

select
    cast(md5(ranges.product_id || '|' || cast(ranges.valid_from as text)) as text) as product_key,
    cast(ranges.product_id as text) as product_id,
    cast(ranges.category_name as text) as category_name,
    cast(ranges.category_name_english as text) as category_name_english,
    cast(ranges.product_name_length as integer) as product_name_length,
    cast(ranges.product_description_length as integer) as product_description_length,
    cast(ranges.product_photos_qty as integer) as product_photos_qty,
    cast(ranges.product_weight_g as integer) as product_weight_g,
    cast(ranges.product_length_cm as integer) as product_length_cm,
    cast(ranges.product_height_cm as integer) as product_height_cm,
    cast(ranges.product_width_cm as integer) as product_width_cm,
    cast(ranges.observed_date as date) as observed_date,
    cast(ranges.valid_from as timestamp) as valid_from,
    cast(ranges.valid_to as timestamp) as valid_to,
    cast(ranges.valid_to is null as boolean) as is_current
from ranges
