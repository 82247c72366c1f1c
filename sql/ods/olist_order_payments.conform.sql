-- Compiled from contracts/olist/order_payments.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(order_id) between 33 and 126 and unicode(reverse(order_id)) between 33 and 126 then order_id else nullif(regexp_replace(order_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_id,
        payment_sequential as payment_sequential__text,
        try_cast(payment_sequential as smallint) as payment_sequential,
        case when unicode(payment_type) between 33 and 126 and unicode(reverse(payment_type)) between 33 and 126 then payment_type else nullif(regexp_replace(payment_type, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as payment_type,
        payment_installments as payment_installments__text,
        try_cast(payment_installments as smallint) as payment_installments,
        payment_value as payment_brl__text,
        try_cast(payment_value as numeric(12,2)) as payment_brl,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        order_id,
        case when cast(payment_sequential as text) = payment_sequential__text then payment_sequential else try_cast(regexp_extract(payment_sequential__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as payment_sequential,
        payment_sequential__text,
        payment_type,
        case when cast(payment_installments as text) = payment_installments__text then payment_installments else try_cast(regexp_extract(payment_installments__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as payment_installments,
        payment_installments__text,
        case when cast(payment_brl as text) = payment_brl__text then payment_brl else try_cast(regexp_extract(payment_brl__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+([.][0-9]{1,2})?)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as numeric(12,2)) end as payment_brl,
        payment_brl__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        order_id,
        payment_sequential,
        payment_type,
        payment_installments,
        payment_brl,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                order_id is null or
                payment_sequential is null or
                payment_type is null or
                payment_installments is null or
                payment_brl is null or
                payment_sequential < 1 or
                payment_type not in ('credit_card', 'boleto', 'voucher', 'debit_card', 'not_defined') or
                payment_installments < 0 or
                payment_brl < 0
            then concat_ws(
                ', ',
                case when order_id is null then 'order_id is empty' end,
                case when payment_sequential is null then case when regexp_matches(payment_sequential__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'payment_sequential is not a smallint' else 'payment_sequential is empty' end end,
                case when payment_type is null then 'payment_type is empty' end,
                case when payment_installments is null then case when regexp_matches(payment_installments__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'payment_installments is not a smallint' else 'payment_installments is empty' end end,
                case when payment_brl is null then case when regexp_matches(payment_brl__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'payment_brl is not a numeric(12,2)' else 'payment_brl is empty' end end,
                case when payment_sequential < 1 then 'payment_sequential_is_positive' end,
                case when payment_type not in ('credit_card', 'boleto', 'voucher', 'debit_card', 'not_defined') then 'payment_type_is_known' end,
                case when payment_installments < 0 then 'payment_installments_is_not_negative' end,
                case when payment_brl < 0 then 'payment_brl_is_not_negative' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select order_id, payment_sequential, _delivery from judged group by order_id, payment_sequential, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by order_id, payment_sequential, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by order_id, payment_sequential, _delivery, payment_type, payment_installments, payment_brl order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (order_id, payment_sequential, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
