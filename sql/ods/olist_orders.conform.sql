-- Compiled from contracts/olist/orders.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(order_id) between 33 and 126 and unicode(reverse(order_id)) between 33 and 126 then order_id else nullif(regexp_replace(order_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_id,
        case when unicode(customer_id) between 33 and 126 and unicode(reverse(customer_id)) between 33 and 126 then customer_id else nullif(regexp_replace(customer_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as customer_id,
        case when unicode(order_status) between 33 and 126 and unicode(reverse(order_status)) between 33 and 126 then order_status else nullif(regexp_replace(order_status, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_status,
        case when unicode(order_purchase_timestamp) between 33 and 126 and unicode(reverse(order_purchase_timestamp)) between 33 and 126 then order_purchase_timestamp else nullif(regexp_replace(order_purchase_timestamp, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_purchased_at__text,
        case when unicode(order_approved_at) between 33 and 126 and unicode(reverse(order_approved_at)) between 33 and 126 then order_approved_at else nullif(regexp_replace(order_approved_at, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_approved_at__text,
        case when unicode(order_delivered_carrier_date) between 33 and 126 and unicode(reverse(order_delivered_carrier_date)) between 33 and 126 then order_delivered_carrier_date else nullif(regexp_replace(order_delivered_carrier_date, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_delivered_carrier_at__text,
        case when unicode(order_delivered_customer_date) between 33 and 126 and unicode(reverse(order_delivered_customer_date)) between 33 and 126 then order_delivered_customer_date else nullif(regexp_replace(order_delivered_customer_date, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_delivered_customer_at__text,
        case when unicode(order_estimated_delivery_date) between 33 and 126 and unicode(reverse(order_estimated_delivery_date)) between 33 and 126 then order_estimated_delivery_date else nullif(regexp_replace(order_estimated_delivery_date, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_estimated_delivery_date__text,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        order_id,
        customer_id,
        order_status,
        case when regexp_matches(order_purchased_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(order_purchased_at__text as timestamp) end as order_purchased_at,
        order_purchased_at__text,
        case when regexp_matches(order_approved_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(order_approved_at__text as timestamp) end as order_approved_at,
        order_approved_at__text,
        case when regexp_matches(order_delivered_carrier_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(order_delivered_carrier_at__text as timestamp) end as order_delivered_carrier_at,
        order_delivered_carrier_at__text,
        case when regexp_matches(order_delivered_customer_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(order_delivered_customer_at__text as timestamp) end as order_delivered_customer_at,
        order_delivered_customer_at__text,
        case when regexp_matches(order_estimated_delivery_date__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then cast(try_cast(order_estimated_delivery_date__text as timestamp) as date) end as order_estimated_delivery_date,
        order_estimated_delivery_date__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        order_id,
        customer_id,
        order_status,
        order_purchased_at,
        order_approved_at,
        order_delivered_carrier_at,
        order_delivered_customer_at,
        order_estimated_delivery_date,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                order_id is null or
                customer_id is null or
                order_status is null or
                order_purchased_at is null or
                (order_approved_at is null and regexp_matches(order_approved_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (order_delivered_carrier_at is null and regexp_matches(order_delivered_carrier_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                (order_delivered_customer_at is null and regexp_matches(order_delivered_customer_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) or
                order_estimated_delivery_date is null or
                not regexp_matches(order_id, '^[0-9a-f]{32}$') or
                order_status not in ('created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered', 'unavailable', 'canceled') or
                (order_purchased_at < '2016-01-01' or order_purchased_at > '2030-01-01')
            then concat_ws(
                ', ',
                case when order_id is null then 'order_id is empty' end,
                case when customer_id is null then 'customer_id is empty' end,
                case when order_status is null then 'order_status is empty' end,
                case when order_purchased_at is null then case when regexp_matches(order_purchased_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'order_purchased_at is not a timestamp' else 'order_purchased_at is empty' end end,
                case when (order_approved_at is null and regexp_matches(order_approved_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'order_approved_at is not a timestamp' end,
                case when (order_delivered_carrier_at is null and regexp_matches(order_delivered_carrier_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'order_delivered_carrier_at is not a timestamp' end,
                case when (order_delivered_customer_at is null and regexp_matches(order_delivered_customer_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]')) then 'order_delivered_customer_at is not a timestamp' end,
                case when order_estimated_delivery_date is null then case when regexp_matches(order_estimated_delivery_date__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'order_estimated_delivery_date is not a date' else 'order_estimated_delivery_date is empty' end end,
                case when not regexp_matches(order_id, '^[0-9a-f]{32}$') then 'order_id_is_a_hash' end,
                case when order_status not in ('created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered', 'unavailable', 'canceled') then 'order_status_is_known' end,
                case when (order_purchased_at < '2016-01-01' or order_purchased_at > '2030-01-01') then 'order_purchased_at_is_plausible' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select order_id, _delivery from judged group by order_id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by order_id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by order_id, _delivery, customer_id, order_status, order_purchased_at, order_approved_at, order_delivered_carrier_at, order_delivered_customer_at, order_estimated_delivery_date order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (order_id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
