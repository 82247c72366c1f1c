-- Compiled from contracts/olist/products.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(product_id) between 33 and 126 and unicode(reverse(product_id)) between 33 and 126 then product_id else nullif(regexp_replace(product_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as product_id,
        case when unicode(product_category_name) between 33 and 126 and unicode(reverse(product_category_name)) between 33 and 126 then product_category_name else nullif(regexp_replace(product_category_name, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as product_category_name,
        product_name_lenght as product_name_length__text,
        try_cast(product_name_lenght as integer) as product_name_length,
        product_description_lenght as product_description_length__text,
        try_cast(product_description_lenght as integer) as product_description_length,
        product_photos_qty as product_photos_qty__text,
        try_cast(product_photos_qty as integer) as product_photos_qty,
        product_weight_g as product_weight_g__text,
        try_cast(product_weight_g as integer) as product_weight_g,
        product_length_cm as product_length_cm__text,
        try_cast(product_length_cm as integer) as product_length_cm,
        product_height_cm as product_height_cm__text,
        try_cast(product_height_cm as integer) as product_height_cm,
        product_width_cm as product_width_cm__text,
        try_cast(product_width_cm as integer) as product_width_cm,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        product_id,
        product_category_name,
        case when cast(product_name_length as text) = product_name_length__text then product_name_length else try_cast(regexp_extract(product_name_length__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_name_length,
        product_name_length__text,
        case when cast(product_description_length as text) = product_description_length__text then product_description_length else try_cast(regexp_extract(product_description_length__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_description_length,
        product_description_length__text,
        case when cast(product_photos_qty as text) = product_photos_qty__text then product_photos_qty else try_cast(regexp_extract(product_photos_qty__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_photos_qty,
        product_photos_qty__text,
        case when cast(product_weight_g as text) = product_weight_g__text then product_weight_g else try_cast(regexp_extract(product_weight_g__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_weight_g,
        product_weight_g__text,
        case when cast(product_length_cm as text) = product_length_cm__text then product_length_cm else try_cast(regexp_extract(product_length_cm__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_length_cm,
        product_length_cm__text,
        case when cast(product_height_cm as text) = product_height_cm__text then product_height_cm else try_cast(regexp_extract(product_height_cm__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_height_cm,
        product_height_cm__text,
        case when cast(product_width_cm as text) = product_width_cm__text then product_width_cm else try_cast(regexp_extract(product_width_cm__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as product_width_cm,
        product_width_cm__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        product_id,
        product_category_name,
        product_name_length,
        product_description_length,
        product_photos_qty,
        product_weight_g,
        product_length_cm,
        product_height_cm,
        product_width_cm,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                product_id is null or
                (product_name_length is null and regexp_matches(product_name_length__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_description_length is null and regexp_matches(product_description_length__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_photos_qty is null and regexp_matches(product_photos_qty__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_weight_g is null and regexp_matches(product_weight_g__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_length_cm is null and regexp_matches(product_length_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_height_cm is null and regexp_matches(product_height_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (product_width_cm is null and regexp_matches(product_width_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                not regexp_matches(product_id, '^[0-9a-f]{32}$') or
                product_name_length < 0 or
                product_description_length < 0 or
                product_photos_qty < 0 or
                product_weight_g < 0 or
                product_length_cm < 0 or
                product_height_cm < 0 or
                product_width_cm < 0
            then concat_ws(
                ', ',
                case when product_id is null then 'product_id is empty' end,
                case when (product_name_length is null and regexp_matches(product_name_length__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_name_length is not a integer' end,
                case when (product_description_length is null and regexp_matches(product_description_length__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_description_length is not a integer' end,
                case when (product_photos_qty is null and regexp_matches(product_photos_qty__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_photos_qty is not a integer' end,
                case when (product_weight_g is null and regexp_matches(product_weight_g__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_weight_g is not a integer' end,
                case when (product_length_cm is null and regexp_matches(product_length_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_length_cm is not a integer' end,
                case when (product_height_cm is null and regexp_matches(product_height_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_height_cm is not a integer' end,
                case when (product_width_cm is null and regexp_matches(product_width_cm__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'product_width_cm is not a integer' end,
                case when not regexp_matches(product_id, '^[0-9a-f]{32}$') then 'product_id_is_a_hash' end,
                case when product_name_length < 0 then 'product_name_length_is_not_negative' end,
                case when product_description_length < 0 then 'product_description_length_is_not_negative' end,
                case when product_photos_qty < 0 then 'product_photos_qty_is_not_negative' end,
                case when product_weight_g < 0 then 'product_weight_g_is_not_negative' end,
                case when product_length_cm < 0 then 'product_length_cm_is_not_negative' end,
                case when product_height_cm < 0 then 'product_height_cm_is_not_negative' end,
                case when product_width_cm < 0 then 'product_width_cm_is_not_negative' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select product_id, _delivery from judged group by product_id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by product_id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by product_id, _delivery, product_category_name, product_name_length, product_description_length, product_photos_qty, product_weight_g, product_length_cm, product_height_cm, product_width_cm order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (product_id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
