-- Compiled from contracts/olist/order_reviews.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(review_id) between 33 and 126 and unicode(reverse(review_id)) between 33 and 126 then review_id else nullif(regexp_replace(review_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as review_id,
        case when unicode(order_id) between 33 and 126 and unicode(reverse(order_id)) between 33 and 126 then order_id else nullif(regexp_replace(order_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as order_id,
        review_score as review_score__text,
        try_cast(review_score as smallint) as review_score,
        case when unicode(review_comment_title) between 33 and 126 and unicode(reverse(review_comment_title)) between 33 and 126 then review_comment_title else nullif(regexp_replace(review_comment_title, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as review_comment_title,
        case when unicode(review_comment_message) between 33 and 126 and unicode(reverse(review_comment_message)) between 33 and 126 then review_comment_message else nullif(regexp_replace(review_comment_message, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as review_comment_message,
        case when unicode(review_creation_date) between 33 and 126 and unicode(reverse(review_creation_date)) between 33 and 126 then review_creation_date else nullif(regexp_replace(review_creation_date, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as review_creation_date__text,
        case when unicode(review_answer_timestamp) between 33 and 126 and unicode(reverse(review_answer_timestamp)) between 33 and 126 then review_answer_timestamp else nullif(regexp_replace(review_answer_timestamp, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as review_answered_at__text,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        review_id,
        order_id,
        case when cast(review_score as text) = review_score__text then review_score else try_cast(regexp_extract(review_score__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as review_score,
        review_score__text,
        review_comment_title,
        review_comment_message,
        case when regexp_matches(review_creation_date__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then cast(try_cast(review_creation_date__text as timestamp) as date) end as review_creation_date,
        review_creation_date__text,
        case when regexp_matches(review_answered_at__text, '^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?)?$') then try_cast(review_answered_at__text as timestamp) end as review_answered_at,
        review_answered_at__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        review_id,
        order_id,
        review_score,
        review_comment_title,
        review_comment_message,
        review_creation_date,
        review_answered_at,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                review_id is null or
                order_id is null or
                review_score is null or
                review_creation_date is null or
                review_answered_at is null or
                not regexp_matches(review_id, '^[0-9a-f]{32}$') or
                (review_score < 1 or review_score > 5)
            then concat_ws(
                ', ',
                case when review_id is null then 'review_id is empty' end,
                case when order_id is null then 'order_id is empty' end,
                case when review_score is null then case when regexp_matches(review_score__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'review_score is not a smallint' else 'review_score is empty' end end,
                case when review_creation_date is null then case when regexp_matches(review_creation_date__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'review_creation_date is not a date' else 'review_creation_date is empty' end end,
                case when review_answered_at is null then case when regexp_matches(review_answered_at__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'review_answered_at is not a timestamp' else 'review_answered_at is empty' end end,
                case when not regexp_matches(review_id, '^[0-9a-f]{32}$') then 'review_id_is_a_hash' end,
                case when (review_score < 1 or review_score > 5) then 'review_score_is_one_to_five' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select review_id, order_id, _delivery from judged group by review_id, order_id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by review_id, order_id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by review_id, order_id, _delivery, review_score, review_comment_title, review_comment_message, review_creation_date, review_answered_at order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (review_id, order_id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
