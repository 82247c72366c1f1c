/*
description: >
  How many of the persons who first ordered in a month ordered again in later months. Retention is measured against the size of
  the cohort in month 0. Months without any order of the cohort are listed with zeros up to the last month in
  which one of its persons ordered. Every order counts, whatever became of it.
source: olist
grain: one row per month of first order (cohort) and number of months since
key: [cohort_month, month_number]
affected_by: cohort_month
columns:
  cohort_month: First day of the month in which the persons first ordered
  month_number: Months since the cohort's month; 0 is that month itself
  activity_month: First day of the month that month_number stands for
  cohort_customer_count: Persons in the cohort, the same in all of its rows
  active_customer_count: Of these, persons who ordered in activity_month
  retention_rate: active_customer_count / cohort_customer_count; 1 in month 0
  order_count: Orders of the cohort in activity_month
  payment_brl: Payments of these orders
references:
  cohort_month: gold.dim_date.calendar_date
  activity_month: gold.dim_date.calendar_date
rules:
  - name: month_zero_is_the_cohort
    severity: hard
    description: Everybody in a cohort ordered in its month 0, and nobody else is counted later
    sql: >
      SELECT cohort_month, month_number FROM staged
      WHERE (month_number = 0 AND active_customer_count <> cohort_customer_count)
      OR active_customer_count > cohort_customer_count OR active_customer_count > order_count OR month_number < 0
  - name: totals_reconcile_to_fact_order
    severity: hard
    description: Orders and payments of a cohort are those of its persons in fact_order
    sql: >
      SELECT cohorts.cohort_month, cohorts.month_number FROM (
        SELECT cohort_month, 0 AS month_number, sum(order_count) AS order_count, sum(payment_brl) AS payment_brl
        FROM staged GROUP BY cohort_month
      ) AS cohorts
      LEFT JOIN gold.fact_order AS orders
      ON cohorts.cohort_month = cast(date_trunc('month', orders.customer_first_order_date) AS date)
      GROUP BY cohorts.cohort_month, cohorts.month_number, cohorts.order_count, cohorts.payment_brl
      HAVING cohorts.order_count <> count(orders.order_id) OR cohorts.payment_brl <> sum(orders.payment_brl)
*/
with cohort_orders as (
    select
        unit.cohort_month,
        orders.customer_unique_id,
        orders.payment_brl,
        cast(
            (extract(year from orders.order_date) - extract(year from unit.cohort_month)) * 12
            + extract(month from orders.order_date) - extract(month from unit.cohort_month) as integer
        ) as month_number
    from affected.cohort_month as unit
    inner join gold.fact_order as orders
        on unit.cohort_month = cast(date_trunc('month', orders.customer_first_order_date) as date)
),

activity as (
    select
        cohort_orders.cohort_month,
        cohort_orders.month_number,
        count(distinct cohort_orders.customer_unique_id) as active_customer_count,
        count(*) as order_count,
        sum(cohort_orders.payment_brl) as payment_brl
    from cohort_orders
    group by cohort_orders.cohort_month, cohort_orders.month_number
),

cohorts as (
    select
        activity.cohort_month,
        max(activity.month_number) as last_month_number,
        sum(case when activity.month_number = 0 then activity.active_customer_count else 0 end)
            as cohort_customer_count
    from activity
    group by activity.cohort_month
),

-- 0 to 999 by digits: a series function would not be the same in every engine
month_numbers as (
    select hundreds.digit * 100 + tens.digit * 10 + ones.digit as month_number
    from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as hundreds (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ones (digit)
)

select
    cast(cohorts.cohort_month as date) as cohort_month,
    cast(month_numbers.month_number as integer) as month_number,
    cast(cohorts.cohort_month + interval '1 month' * month_numbers.month_number as date) as activity_month,
    cast(cohorts.cohort_customer_count as integer) as cohort_customer_count,
    cast(coalesce(activity.active_customer_count, 0) as integer) as active_customer_count,
    cast(
        cast(coalesce(activity.active_customer_count, 0) as double precision)
        / nullif(cohorts.cohort_customer_count, 0) as double precision
    ) as retention_rate,
    cast(coalesce(activity.order_count, 0) as integer) as order_count,
    cast(coalesce(activity.payment_brl, 0) as numeric(14, 2)) as payment_brl
from cohorts
inner join month_numbers on cohorts.last_month_number >= month_numbers.month_number
left join activity
    on cohorts.cohort_month = activity.cohort_month and month_numbers.month_number = activity.month_number
