-- Compiled from contracts/olist/product_category_translation.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(product_category_name) between 33 and 126 and unicode(reverse(product_category_name)) between 33 and 126 then product_category_name else nullif(regexp_replace(product_category_name, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as product_category_name,
        case when unicode(product_category_name_english) between 33 and 126 and unicode(reverse(product_category_name_english)) between 33 and 126 then product_category_name_english else nullif(regexp_replace(product_category_name_english, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as product_category_name_english,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        product_category_name,
        product_category_name_english,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        product_category_name,
        product_category_name_english,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                product_category_name is null or
                product_category_name_english is null
            then concat_ws(
                ', ',
                case when product_category_name is null then 'product_category_name is empty' end,
                case when product_category_name_english is null then 'product_category_name_english is empty' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select product_category_name, _delivery from judged group by product_category_name, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by product_category_name, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by product_category_name, _delivery, product_category_name_english order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (product_category_name, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
