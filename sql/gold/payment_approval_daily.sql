/*
description: >
  How many of a day's orders were approved for payment, and how fast, by the means that paid most of the order. Median and 90th
  percentile are observed values (the smallest that at least this share of the orders does not exceed), not interpolated.
source: olist
grain: one row per day of purchase and main payment type
key: [order_date, main_payment_type]
affected_by: order_date
columns:
  order_date: Day of purchase
  main_payment_type: Payment type that paid most of the order; none for orders without payments
  order_count: Orders placed
  approved_order_count: Of these, approved
  approval_rate: approved_order_count / order_count
  approved_within_1_hour_count: Approved at most one hour after the purchase
  approved_within_24_hours_count: Approved at most 24 hours after the purchase
  approval_hours_average: Mean hours from purchase to approval, over approved orders
  approval_hours_median: Median of the same
  approval_hours_p90: 90th percentile of the same
references:
  order_date: gold.dim_date.calendar_date
rules:
  - name: types_add_up_to_fact_order
    severity: hard
    description: Orders of all types of a day are the day's orders, approved ones included
    sql: >
      SELECT days.order_date, days.main_payment_type FROM (
        SELECT order_date, min(main_payment_type) AS main_payment_type, sum(order_count) AS order_count,
        sum(approved_order_count) AS approved_order_count
        FROM staged GROUP BY order_date
      ) AS days
      LEFT JOIN gold.fact_order AS orders ON days.order_date = orders.order_date
      GROUP BY days.order_date, days.main_payment_type, days.order_count, days.approved_order_count
      HAVING days.order_count <> count(orders.order_id)
      OR days.approved_order_count <> count(orders.order_approved_at)
  - name: parts_do_not_exceed_the_whole
    severity: hard
    description: Approved within an hour, within a day, at all and placed never fall
    sql: >
      SELECT order_date, main_payment_type FROM staged
      WHERE approved_within_1_hour_count > approved_within_24_hours_count
      OR approved_within_24_hours_count > approved_order_count OR approved_order_count > order_count
*/
with totals as (
    select
        orders.order_date,
        orders.main_payment_type,
        count(*) as order_count,
        count(orders.order_approved_at) as approved_order_count,
        sum(case when orders.approval_hours <= 1 then 1 else 0 end) as approved_within_1_hour_count,
        sum(case when orders.approval_hours <= 24 then 1 else 0 end) as approved_within_24_hours_count,
        sum(orders.approval_hours) as approval_hours_sum,
        percentile_disc(0.5) within group (order by orders.approval_hours) as approval_hours_median,
        percentile_disc(0.9) within group (order by orders.approval_hours) as approval_hours_p90
    from affected.order_date as unit
    inner join gold.fact_order as orders on unit.order_date = orders.order_date
    group by orders.order_date, orders.main_payment_type
)

select
    cast(totals.order_date as date) as order_date,
    cast(totals.main_payment_type as text) as main_payment_type,
    cast(totals.order_count as integer) as order_count,
    cast(totals.approved_order_count as integer) as approved_order_count,
    cast(
        cast(totals.approved_order_count as double precision) / totals.order_count as double precision
    ) as approval_rate,
    cast(totals.approved_within_1_hour_count as integer) as approved_within_1_hour_count,
    cast(totals.approved_within_24_hours_count as integer) as approved_within_24_hours_count,
    cast(
        cast(totals.approval_hours_sum as double precision)
        / nullif(totals.approved_order_count, 0) as double precision
    ) as approval_hours_average,
    cast(totals.approval_hours_median as numeric(14, 4)) as approval_hours_median,
    cast(totals.approval_hours_p90 as numeric(14, 4)) as approval_hours_p90
from totals
