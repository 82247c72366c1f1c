/*
description: >
  Orders with all their milestones, durations, lateness and the totals of their items, payments and reviews. Orders without
  items, payments or reviews stay, with counts and amounts of zero. Times are local Brazilian time.
source: olist
grain: one row per order
key: [order_id]
affected_by: order_id
columns:
  order_id: The order
  customer_id: The customer record issued for this order
  customer_unique_id: The person who ordered
  customer_key: Version of the person valid at the purchase; refers to dim_customer
  customer_order_number: 1 for the person's first order, 2 for the second, by purchase time, then order_id
  customer_first_order_date: Date of the person's first order
  order_status: Status as the source gives it
  order_date: Date of order_purchased_at
  order_purchased_at: Customer placed the order
  order_approved_at: Payment was approved
  order_delivered_carrier_at: Seller handed the parcel to the carrier
  order_delivered_customer_at: Customer received the parcel
  order_estimated_delivery_date: Day promised to the customer
  delivered_date: Date of order_delivered_customer_at
  is_delivered: Status is delivered, whether or not a delivery time was recorded
  is_canceled: Status is canceled or unavailable; nothing will be delivered
  is_late: >
    Delivered after the promised day; arriving on that day is in time. NULL unless status is delivered and a delivery time was recorded
  delay_days: Calendar days from the promised day to delivery; negative = early; NULL where is_late is NULL
  delivery_days: Calendar days from purchase to delivery; NULL without delivery time
  approval_hours: Hours from purchase to approval
  handover_hours: Hours from approval to the carrier; negative where the seller handed over first
  transit_hours: Hours from the carrier to the customer
  delivery_hours: Hours from purchase to the customer
  item_count: Items in the order; each is one piece
  seller_count: Distinct sellers of the items
  item_price_brl: Sum of item prices, without freight
  freight_brl: Sum of item freight
  payment_count: Payments of the order
  payment_brl: Sum of payments
  payment_difference_brl: payment_brl less prices and freight; NULL without items or without payments
  payment_installments_count: Largest number of instalments of any payment; NULL without payments
  main_payment_type: Payment type that paid most (ties by name); none without payments
  review_count: Reviews of the order
  review_score_average: Mean score of the reviews, 1 to 5; NULL without reviews
  review_score_latest: Score of the review answered last (then created last, then greatest review_id)
pii:
  customer_id: pseudonym
  customer_unique_id: pseudonym
  customer_key: pseudonym
references:
  customer_key: gold.dim_customer.customer_key
  order_date: gold.dim_date.calendar_date
  delivered_date: gold.dim_date.calendar_date
  order_estimated_delivery_date: gold.dim_date.calendar_date
rules:
  - name: customer_version_resolves
    severity: hard
    description: Every order belongs to a version of a person in dim_customer, valid at the purchase
    sql: >
      SELECT staged.order_id FROM staged
      LEFT JOIN gold.dim_customer AS dim_customer ON staged.customer_key = dim_customer.customer_key
      WHERE dim_customer.customer_key IS NULL
      OR dim_customer.customer_unique_id <> staged.customer_unique_id
      OR staged.order_purchased_at < dim_customer.valid_from
      OR staged.order_purchased_at >= dim_customer.valid_to
  - name: order_date_is_in_calendar
    severity: hard
    description: order_date is a day of dim_date
    sql: >
      SELECT staged.order_id FROM staged
      LEFT JOIN gold.dim_date AS dim_date ON staged.order_date = dim_date.calendar_date
      WHERE dim_date.calendar_date IS NULL
  - name: item_totals_match_source
    severity: hard
    description: Items, prices and freight of an order are those of ods.olist_order_items, to the cent
    sql: >
      SELECT staged.order_id FROM staged
      LEFT JOIN ods.olist_order_items AS items ON staged.order_id = items.order_id
      GROUP BY staged.order_id, staged.item_count, staged.item_price_brl, staged.freight_brl
      HAVING staged.item_count <> count(items.order_id)
      OR staged.item_price_brl <> coalesce(sum(items.price_brl), 0)
      OR staged.freight_brl <> coalesce(sum(items.freight_brl), 0)
  - name: payment_totals_match_source
    severity: hard
    description: Payments of an order are those of ods.olist_order_payments, to the cent
    sql: >
      SELECT staged.order_id FROM staged
      LEFT JOIN ods.olist_order_payments AS payments ON staged.order_id = payments.order_id
      GROUP BY staged.order_id, staged.payment_count, staged.payment_brl
      HAVING staged.payment_count <> count(payments.order_id)
      OR staged.payment_brl <> coalesce(sum(payments.payment_brl), 0)
  - name: payments_match_items
    severity: soft
    description: Payments equal prices and freight to the cent
    sql: SELECT order_id FROM staged WHERE abs(payment_difference_brl) > 0.01
  - name: delivered_order_has_delivery_time
    severity: soft
    description: A delivered order has the time of its delivery
    sql: SELECT order_id FROM staged WHERE is_delivered AND order_delivered_customer_at IS NULL
*/
with affected_orders as (
    select
        orders.order_id,
        orders.customer_id,
        customers.customer_unique_id,
        orders.order_status,
        orders.order_purchased_at,
        orders.order_approved_at,
        orders.order_delivered_carrier_at,
        orders.order_delivered_customer_at,
        orders.order_estimated_delivery_date,
        orders.order_status = 'delivered' as is_delivered,
        orders.order_status = 'delivered' and orders.order_delivered_customer_at is not null as has_delivery_time
    from affected.order_id as unit
    inner join ods.olist_orders as orders on unit.order_id = orders.order_id
    -- an order that lost its customer stays visible here and is refused by customer_version_resolves
    left join ods.olist_customers as customers on orders.customer_id = customers.customer_id
),

persons as (
    select distinct affected_orders.customer_unique_id
    from affected_orders
),

-- all orders of these persons, affected or not: a person's order number counts them all
person_orders as (
    select
        orders.order_id,
        row_number() over (
            partition by customers.customer_unique_id order by orders.order_purchased_at, orders.order_id
        ) as customer_order_number,
        min(orders.order_purchased_at) over (
            partition by customers.customer_unique_id
        ) as customer_first_order_at
    from persons
    inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
),

item_totals as (
    select
        items.order_id,
        count(*) as item_count,
        count(distinct items.seller_id) as seller_count,
        sum(items.price_brl) as item_price_brl,
        sum(items.freight_brl) as freight_brl
    from affected.order_id as unit
    inner join ods.olist_order_items as items on unit.order_id = items.order_id
    group by items.order_id
),

payment_totals as (
    select
        payments.order_id,
        count(*) as payment_count,
        sum(payments.payment_brl) as payment_brl,
        max(payments.payment_installments) as payment_installments_count,
        min(payments.payment_type) as first_payment_type,
        min(payments.payment_type) <> max(payments.payment_type) as has_several_types
    from affected.order_id as unit
    inner join ods.olist_order_payments as payments on unit.order_id = payments.order_id
    group by payments.order_id
),

-- few orders are paid by several types; only these are ranked
ranked_payment_types as (
    select
        payments.order_id,
        payments.payment_type,
        row_number() over (
            partition by payments.order_id
            order by sum(payments.payment_brl) desc, payments.payment_type asc
        ) as payment_type_rank
    from payment_totals
    inner join ods.olist_order_payments as payments on payment_totals.order_id = payments.order_id
    where payment_totals.has_several_types
    group by payments.order_id, payments.payment_type
),

ranked_reviews as (
    select
        reviews.order_id,
        reviews.review_score,
        row_number() over (
            partition by reviews.order_id
            order by
                coalesce(reviews.review_answered_at, timestamp '0001-01-01 00:00:00') desc,
                coalesce(reviews.review_creation_date, date '0001-01-01') desc,
                reviews.review_id desc
        ) as review_rank
    from affected.order_id as unit
    inner join ods.olist_order_reviews as reviews on unit.order_id = reviews.order_id
),

review_totals as (
    select
        ranked_reviews.order_id,
        count(*) as review_count,
        count(ranked_reviews.review_score) as scored_count,
        sum(ranked_reviews.review_score) as review_score_sum,
        max(case when ranked_reviews.review_rank = 1 then ranked_reviews.review_score end) as review_score_latest
    from ranked_reviews
    group by ranked_reviews.order_id
)

select
    cast(orders.order_id as text) as order_id,
    cast(orders.customer_id as text) as customer_id,
    cast(orders.customer_unique_id as text) as customer_unique_id,
    cast(dim_customer.customer_key as text) as customer_key,
    cast(person_orders.customer_order_number as integer) as customer_order_number,
    cast(person_orders.customer_first_order_at as date) as customer_first_order_date,
    cast(orders.order_status as text) as order_status,
    cast(orders.order_purchased_at as date) as order_date,
    cast(orders.order_purchased_at as timestamp) as order_purchased_at,
    cast(orders.order_approved_at as timestamp) as order_approved_at,
    cast(orders.order_delivered_carrier_at as timestamp) as order_delivered_carrier_at,
    cast(orders.order_delivered_customer_at as timestamp) as order_delivered_customer_at,
    cast(orders.order_estimated_delivery_date as date) as order_estimated_delivery_date,
    cast(orders.order_delivered_customer_at as date) as delivered_date,
    cast(orders.is_delivered as boolean) as is_delivered,
    cast(orders.order_status in ('canceled', 'unavailable') as boolean) as is_canceled,
    cast(
        case
            when orders.has_delivery_time
                then cast(orders.order_delivered_customer_at as date) > orders.order_estimated_delivery_date
        end as boolean
    ) as is_late,
    cast(
        case
            when orders.has_delivery_time
                then cast(orders.order_delivered_customer_at as date) - orders.order_estimated_delivery_date
        end as integer
    ) as delay_days,
    cast(
        cast(orders.order_delivered_customer_at as date) - cast(orders.order_purchased_at as date) as integer
    ) as delivery_days,
    -- four decimals of an hour: whole seconds never fall on a rounding tie, so every engine rounds alike
    cast(
        extract(epoch from (orders.order_approved_at - orders.order_purchased_at)) / 3600 as numeric(14, 4)
    ) as approval_hours,
    cast(
        extract(epoch from (orders.order_delivered_carrier_at - orders.order_approved_at)) / 3600 as numeric(14, 4)
    ) as handover_hours,
    cast(
        extract(epoch from (orders.order_delivered_customer_at - orders.order_delivered_carrier_at))
        / 3600 as numeric(14, 4)
    ) as transit_hours,
    cast(
        extract(epoch from (orders.order_delivered_customer_at - orders.order_purchased_at)) / 3600 as numeric(14, 4)
    ) as delivery_hours,
    cast(coalesce(item_totals.item_count, 0) as integer) as item_count,
    cast(coalesce(item_totals.seller_count, 0) as integer) as seller_count,
    cast(coalesce(item_totals.item_price_brl, 0) as numeric(12, 2)) as item_price_brl,
    cast(coalesce(item_totals.freight_brl, 0) as numeric(12, 2)) as freight_brl,
    cast(coalesce(payment_totals.payment_count, 0) as integer) as payment_count,
    cast(coalesce(payment_totals.payment_brl, 0) as numeric(12, 2)) as payment_brl,
    cast(
        payment_totals.payment_brl - item_totals.item_price_brl - item_totals.freight_brl as numeric(12, 2)
    ) as payment_difference_brl,
    cast(payment_totals.payment_installments_count as integer) as payment_installments_count,
    cast(
        coalesce(ranked_payment_types.payment_type, payment_totals.first_payment_type, 'none') as text
    ) as main_payment_type,
    cast(coalesce(review_totals.review_count, 0) as integer) as review_count,
    cast(
        cast(review_totals.review_score_sum as double precision)
        / nullif(review_totals.scored_count, 0) as double precision
    ) as review_score_average,
    cast(review_totals.review_score_latest as integer) as review_score_latest
from affected_orders as orders
left join person_orders on orders.order_id = person_orders.order_id
left join gold.dim_customer as dim_customer
    on
        orders.customer_unique_id = dim_customer.customer_unique_id
        and orders.order_purchased_at >= dim_customer.valid_from
        and (dim_customer.valid_to is null or orders.order_purchased_at < dim_customer.valid_to)
left join item_totals on orders.order_id = item_totals.order_id
left join payment_totals on orders.order_id = payment_totals.order_id
left join ranked_payment_types
    on orders.order_id = ranked_payment_types.order_id and ranked_payment_types.payment_type_rank = 1
left join review_totals on orders.order_id = review_totals.order_id
