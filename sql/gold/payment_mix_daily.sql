/*
description: >
  With what the orders of a day were paid. An order paid by two means counts under both, so orders do not add up over types, while
  payments and amounts do.
source: olist
grain: one row per day of purchase and payment type
key: [order_date, payment_type]
affected_by: order_date
columns:
  order_date: Day of purchase
  payment_type: Means of payment as the source names it
  payment_count: Payments
  order_count: Orders with at least one payment of the type
  payment_brl: Sum of the payments
  payment_share_rate: payment_brl / payments of all types on the day; NULL when these are zero
  payment_installments_average: Mean number of instalments per payment
references:
  order_date: gold.dim_date.calendar_date
rules:
  - name: types_add_up_to_fact_order
    severity: hard
    description: Payments of all types of a day are those of the day's orders, to the cent
    sql: >
      SELECT days.order_date, days.payment_type FROM (
        SELECT order_date, min(payment_type) AS payment_type, sum(payment_count) AS payment_count,
        sum(payment_brl) AS payment_brl
        FROM staged GROUP BY order_date
      ) AS days
      LEFT JOIN gold.fact_order AS orders ON days.order_date = orders.order_date
      GROUP BY days.order_date, days.payment_type, days.payment_count, days.payment_brl
      HAVING days.payment_count <> coalesce(sum(orders.payment_count), 0)
      OR days.payment_brl <> coalesce(sum(orders.payment_brl), 0)
*/
with totals as (
    select
        payments.order_date,
        payments.payment_type,
        count(*) as payment_count,
        count(distinct payments.order_id) as order_count,
        sum(payments.payment_brl) as payment_brl,
        sum(payments.payment_installments_count) as installments_sum,
        count(payments.payment_installments_count) as installments_known_count
    from affected.order_date as unit
    inner join gold.fact_order_payment as payments on unit.order_date = payments.order_date
    group by payments.order_date, payments.payment_type
),

shares as (
    select
        totals.order_date,
        totals.payment_type,
        totals.payment_count,
        totals.order_count,
        totals.payment_brl,
        totals.installments_sum,
        totals.installments_known_count,
        sum(totals.payment_brl) over (partition by totals.order_date) as day_payment_brl
    from totals
)

select
    cast(shares.order_date as date) as order_date,
    cast(shares.payment_type as text) as payment_type,
    cast(shares.payment_count as integer) as payment_count,
    cast(shares.order_count as integer) as order_count,
    cast(shares.payment_brl as numeric(14, 2)) as payment_brl,
    cast(
        cast(shares.payment_brl as double precision)
        / nullif(cast(shares.day_payment_brl as double precision), 0) as double precision
    ) as payment_share_rate,
    cast(
        cast(shares.installments_sum as double precision)
        / nullif(shares.installments_known_count, 0) as double precision
    ) as payment_installments_average
from shares
