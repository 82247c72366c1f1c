/*
description: >
  Headline figures by day of purchase. Every order counts on the day it was placed, whatever became of it, so the days add up to
  all orders and all payments. Rates and averages are unrounded quotients of the counts and sums beside them.
source: olist
grain: one row per day on which at least one order was placed
key: [order_date]
affected_by: order_date
columns:
  order_date: Day of purchase
  order_count: Orders placed
  delivered_order_count: Of these, orders whose status is delivered by now
  canceled_order_count: Of these, orders whose status is canceled or unavailable by now
  no_items_order_count: Of these, orders without items
  item_count: Items of these orders
  item_price_brl: Sum of item prices, without freight
  freight_brl: Sum of item freight
  payment_brl: Sum of all payments of these orders
  order_value_average_brl: payment_brl per order that has a payment
  customer_count: Distinct persons who ordered
  new_customer_count: Persons who placed their first order
  timed_delivery_order_count: Delivered orders with a recorded delivery time; what lateness is measured on
  late_order_count: Of timed_delivery_order_count, orders delivered after the promised day
  late_rate: late_order_count / timed_delivery_order_count
  delivery_hours_average: Mean hours from purchase to customer over timed_delivery_order_count
  review_count: Reviews of these orders
  reviewed_order_count: Orders with a review
  review_score_average: Mean, over reviewed orders, of the latest score (1 to 5)
references:
  order_date: gold.dim_date.calendar_date
rules:
  - name: totals_reconcile_to_fact_order
    severity: hard
    description: Orders, items and amounts of a day are those of fact_order, to the cent
    sql: >
      SELECT staged.order_date FROM staged
      LEFT JOIN gold.fact_order AS orders ON staged.order_date = orders.order_date
      GROUP BY staged.order_date, staged.order_count, staged.item_count, staged.item_price_brl,
      staged.freight_brl, staged.payment_brl
      HAVING staged.order_count <> count(orders.order_id)
      OR staged.item_count <> sum(orders.item_count)
      OR staged.item_price_brl <> sum(orders.item_price_brl)
      OR staged.freight_brl <> sum(orders.freight_brl)
      OR staged.payment_brl <> sum(orders.payment_brl)
  - name: parts_do_not_exceed_the_whole
    severity: hard
    description: No part of the orders is larger than what it is part of
    sql: >
      SELECT order_date FROM staged
      WHERE delivered_order_count + canceled_order_count > order_count
      OR timed_delivery_order_count > delivered_order_count OR late_order_count > timed_delivery_order_count
      OR customer_count > order_count OR new_customer_count > customer_count
      OR no_items_order_count > order_count OR reviewed_order_count > order_count
*/
with totals as (
    select
        orders.order_date,
        count(*) as order_count,
        sum(case when orders.is_delivered then 1 else 0 end) as delivered_order_count,
        sum(case when orders.is_canceled then 1 else 0 end) as canceled_order_count,
        sum(case when orders.item_count = 0 then 1 else 0 end) as no_items_order_count,
        sum(orders.item_count) as item_count,
        sum(orders.item_price_brl) as item_price_brl,
        sum(orders.freight_brl) as freight_brl,
        sum(orders.payment_brl) as payment_brl,
        sum(case when orders.payment_count > 0 then 1 else 0 end) as paid_order_count,
        count(distinct orders.customer_unique_id) as customer_count,
        sum(case when orders.customer_order_number = 1 then 1 else 0 end) as new_customer_count,
        count(orders.is_late) as timed_delivery_order_count,
        sum(case when orders.is_late then 1 else 0 end) as late_order_count,
        sum(case when orders.is_late is not null then orders.delivery_hours end) as delivery_hours_sum,
        sum(orders.review_count) as review_count,
        sum(case when orders.review_count > 0 then 1 else 0 end) as reviewed_order_count,
        count(orders.review_score_latest) as scored_order_count,
        sum(orders.review_score_latest) as review_score_sum
    from affected.order_date as unit
    inner join gold.fact_order as orders on unit.order_date = orders.order_date
    group by orders.order_date
)

select
    cast(totals.order_date as date) as order_date,
    cast(totals.order_count as integer) as order_count,
    cast(totals.delivered_order_count as integer) as delivered_order_count,
    cast(totals.canceled_order_count as integer) as canceled_order_count,
    cast(totals.no_items_order_count as integer) as no_items_order_count,
    cast(totals.item_count as integer) as item_count,
    cast(totals.item_price_brl as numeric(14, 2)) as item_price_brl,
    cast(totals.freight_brl as numeric(14, 2)) as freight_brl,
    cast(totals.payment_brl as numeric(14, 2)) as payment_brl,
    cast(
        cast(totals.payment_brl as double precision) / nullif(totals.paid_order_count, 0) as double precision
    ) as order_value_average_brl,
    cast(totals.customer_count as integer) as customer_count,
    cast(totals.new_customer_count as integer) as new_customer_count,
    cast(totals.timed_delivery_order_count as integer) as timed_delivery_order_count,
    cast(totals.late_order_count as integer) as late_order_count,
    cast(
        cast(totals.late_order_count as double precision)
        / nullif(totals.timed_delivery_order_count, 0) as double precision
    ) as late_rate,
    cast(
        cast(totals.delivery_hours_sum as double precision)
        / nullif(totals.timed_delivery_order_count, 0) as double precision
    ) as delivery_hours_average,
    cast(totals.review_count as integer) as review_count,
    cast(totals.reviewed_order_count as integer) as reviewed_order_count,
    cast(
        cast(totals.review_score_sum as double precision)
        / nullif(totals.scored_order_count, 0) as double precision
    ) as review_score_average
from totals
