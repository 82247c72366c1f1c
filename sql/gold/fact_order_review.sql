-- Reviews of orders, with the one that counts marked.
select
    reviews.review_id,
    reviews.order_id,
    orders.order_date,
    orders.customer_key,
    reviews.review_score,
    reviews.review_creation_date,
    reviews.review_answered_at,
    date_diff('day', reviews.review_creation_date, cast(reviews.review_answered_at as date)) as answer_days,
    coalesce(reviews.review_comment_title, '') <> '' as has_comment_title,
    coalesce(reviews.review_comment_message, '') <> '' as has_comment_message,
    length(coalesce(reviews.review_comment_message, '')) as comment_message_character_count,
    row_number() over (
        partition by reviews.order_id
        order by
            coalesce(reviews.review_answered_at, timestamp '0001-01-01 00:00:00') desc,
            coalesce(reviews.review_creation_date, date '0001-01-01') desc,
            reviews.review_id desc
    ) = 1 as is_latest
from affected.order_id as unit
inner join ods.olist_order_reviews as reviews on unit.order_id = reviews.order_id
inner join gold.fact_order as orders on reviews.order_id = orders.order_id
