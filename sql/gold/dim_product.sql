-- Products, versioned by the delivery that brought other attributes. Reads its own served rows: versions that earlier
-- deliveries opened stay.
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
    md5(ranges.product_id || '|' || cast(ranges.valid_from as text)) as product_key,
    ranges.product_id,
    ranges.category_name,
    ranges.category_name_english,
    ranges.product_name_length,
    ranges.product_description_length,
    ranges.product_photos_qty,
    ranges.product_weight_g,
    ranges.product_length_cm,
    ranges.product_height_cm,
    ranges.product_width_cm,
    ranges.observed_date,
    ranges.valid_from,
    ranges.valid_to,
    ranges.valid_to is null as is_current
from ranges
