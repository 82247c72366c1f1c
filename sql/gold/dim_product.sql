-- Products, versioned by the deliveries that brought other attributes: a function of their history. A state that
-- differs in nothing that is kept here, or that ended because the source left the product out, opens no version.
with states as (
    select
        history.product_id,
        history.product_category_name as category_name,
        history.product_name_length,
        history.product_description_length,
        history.product_photos_qty,
        history.product_weight_g,
        history.product_length_cm,
        history.product_height_cm,
        history.product_width_cm,
        cast(history.valid_from as timestamp) as said_at,
        row_number() over (partition by history.product_id order by history.valid_from) as state_number
    from affected.product_id as unit
    inner join ods.olist_products_history as history on unit.product_id = history.product_id
    where not history.is_deleted
),

versions as (
    select
        states.product_id,
        states.category_name,
        states.product_name_length,
        states.product_description_length,
        states.product_photos_qty,
        states.product_weight_g,
        states.product_length_cm,
        states.product_height_cm,
        states.product_width_cm,
        case
            when earlier.product_id is null then timestamp '1900-01-01 00:00:00'
            else states.said_at
        end as valid_from
    from states
    left join states as earlier
        on states.product_id = earlier.product_id and states.state_number = earlier.state_number + 1
    where
        earlier.product_id is null
        or states.category_name is distinct from earlier.category_name
        or states.product_name_length is distinct from earlier.product_name_length
        or states.product_description_length is distinct from earlier.product_description_length
        or states.product_photos_qty is distinct from earlier.product_photos_qty
        or states.product_weight_g is distinct from earlier.product_weight_g
        or states.product_length_cm is distinct from earlier.product_length_cm
        or states.product_height_cm is distinct from earlier.product_height_cm
        or states.product_width_cm is distinct from earlier.product_width_cm
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
    coalesce(
        translations.product_category_name_english, ranges.category_name, 'unknown'
    ) as category_name_english,
    ranges.product_name_length,
    ranges.product_description_length,
    ranges.product_photos_qty,
    ranges.product_weight_g,
    ranges.product_length_cm,
    ranges.product_height_cm,
    ranges.product_width_cm,
    ranges.valid_from,
    ranges.valid_to,
    ranges.valid_to is null as is_current
from ranges
left join ods.olist_product_category_translation as translations
    on ranges.category_name = translations.product_category_name
