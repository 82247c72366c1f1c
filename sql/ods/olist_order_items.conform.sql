-- Compiled from contracts/olist/order_items.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(order_id) between 33 and 126 and unicode(reverse(order_id)) between 33 and 126 then order_id else nullif(regexp_replace(order_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_id,
        order_item_id as order_item_id__text,
        try_cast(order_item_id as smallint) as order_item_id,
        case when unicode(product_id) between 33 and 126 and unicode(reverse(product_id)) between 33 and 126 then product_id else nullif(regexp_replace(product_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as product_id,
        case when unicode(seller_id) between 33 and 126 and unicode(reverse(seller_id)) between 33 and 126 then seller_id else nullif(regexp_replace(seller_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as seller_id,
        case when unicode(shipping_limit_date) between 33 and 126 and unicode(reverse(shipping_limit_date)) between 33 and 126 then shipping_limit_date else nullif(regexp_replace(shipping_limit_date, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as shipping_limit_at__text,
        price as price_brl__text,
        try_cast(price as numeric(12,2)) as price_brl,
        freight_value as freight_brl__text,
        try_cast(freight_value as numeric(12,2)) as freight_brl,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        order_id,
        case when cast(order_item_id as text) = order_item_id__text then order_item_id else try_cast(regexp_extract(order_item_id__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as order_item_id,
        order_item_id__text,
        product_id,
        seller_id,
        case when regexp_matches(shipping_limit_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(shipping_limit_at__text as timestamp) end as shipping_limit_at,
        shipping_limit_at__text,
        case when cast(price_brl as text) = price_brl__text then price_brl else try_cast(regexp_extract(price_brl__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+([.][0-9]{1,2})?)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as numeric(12,2)) end as price_brl,
        price_brl__text,
        case when cast(freight_brl as text) = freight_brl__text then freight_brl else try_cast(regexp_extract(freight_brl__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+([.][0-9]{1,2})?)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as numeric(12,2)) end as freight_brl,
        freight_brl__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        order_id,
        order_item_id,
        product_id,
        seller_id,
        shipping_limit_at,
        price_brl,
        freight_brl,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                order_id is null or
                order_item_id is null or
                product_id is null or
                seller_id is null or
                shipping_limit_at is null or
                price_brl is null or
                freight_brl is null or
                order_item_id < 1 or
                price_brl < 0 or
                freight_brl < 0
            then concat_ws(
                ', ',
                case when order_id is null then 'order_id is empty' end,
                case when order_item_id is null then case when regexp_matches(order_item_id__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'order_item_id is not a smallint' else 'order_item_id is empty' end end,
                case when product_id is null then 'product_id is empty' end,
                case when seller_id is null then 'seller_id is empty' end,
                case when shipping_limit_at is null then case when regexp_matches(shipping_limit_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'shipping_limit_at is not a timestamp' else 'shipping_limit_at is empty' end end,
                case when price_brl is null then case when regexp_matches(price_brl__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'price_brl is not a numeric(12,2)' else 'price_brl is empty' end end,
                case when freight_brl is null then case when regexp_matches(freight_brl__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'freight_brl is not a numeric(12,2)' else 'freight_brl is empty' end end,
                case when order_item_id < 1 then 'order_item_id_is_positive' end,
                case when price_brl < 0 then 'price_brl_is_not_negative' end,
                case when freight_brl < 0 then 'freight_brl_is_not_negative' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select order_id, order_item_id, _delivery from judged group by order_id, order_item_id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by order_id, order_item_id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by order_id, order_item_id, _delivery, product_id, seller_id, shipping_limit_at, price_brl, freight_brl order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (order_id, order_item_id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
