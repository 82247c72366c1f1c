/*
description: >
  Reviews of orders. An order can have several reviews, and one review can stand for several orders. The texts, which may hold
  personal data, stay in ods; here is only whether and how much was written.
source: olist
grain: one row per review and order
key: [review_id, order_id]
affected_by: order_id
columns:
  review_id: The review
  order_id: The order
  order_date: Day of purchase
  customer_key: Version of the person valid at the purchase; refers to dim_customer
  review_score: Score, 1 (worst) to 5 (best)
  review_creation_date: Day on which the customer was asked
  review_answered_at: Time of the answer
  answer_days: Calendar days from the question to the answer
  has_comment_title: A title was written
  has_comment_message: A text was written
  comment_message_character_count: Characters of the text; 0 without one
  is_latest: The order's review that was answered last (then created last, then greatest review_id)
pii:
  customer_key: pseudonym
references:
  order_id: gold.fact_order.order_id
  order_date: gold.dim_date.calendar_date
  customer_key: gold.dim_customer.customer_key
rules:
  - name: one_latest_review
    severity: hard
    description: Exactly one review of each order is the latest, and its score is the one in fact_order
    sql: >
      SELECT min(staged.review_id) AS review_id, staged.order_id FROM staged
      LEFT JOIN gold.fact_order AS orders ON staged.order_id = orders.order_id
      GROUP BY staged.order_id
      HAVING sum(CASE WHEN staged.is_latest THEN 1 ELSE 0 END) <> 1
      OR count(*) <> coalesce(max(orders.review_count), 0)
      OR max(CASE WHEN staged.is_latest THEN staged.review_score END) <> max(orders.review_score_latest)
*/
select
    cast(reviews.review_id as text) as review_id,
    cast(reviews.order_id as text) as order_id,
    cast(orders.order_date as date) as order_date,
    cast(orders.customer_key as text) as customer_key,
    cast(reviews.review_score as integer) as review_score,
    cast(reviews.review_creation_date as date) as review_creation_date,
    cast(reviews.review_answered_at as timestamp) as review_answered_at,
    cast(cast(reviews.review_answered_at as date) - reviews.review_creation_date as integer) as answer_days,
    cast(coalesce(reviews.review_comment_title, '') <> '' as boolean) as has_comment_title,
    cast(coalesce(reviews.review_comment_message, '') <> '' as boolean) as has_comment_message,
    cast(length(coalesce(reviews.review_comment_message, '')) as integer) as comment_message_character_count,
    cast(
        row_number() over (
            partition by reviews.order_id
            order by
                coalesce(reviews.review_answered_at, timestamp '0001-01-01 00:00:00') desc,
                coalesce(reviews.review_creation_date, date '0001-01-01') desc,
                reviews.review_id desc
        ) = 1 as boolean
    ) as is_latest
from affected.order_id as unit
inner join ods.olist_order_reviews as reviews on unit.order_id = reviews.order_id
inner join gold.fact_order as orders on reviews.order_id = orders.order_id
