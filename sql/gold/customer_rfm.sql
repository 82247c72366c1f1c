/*
description: >
  Recency, frequency and money per person, over all of the person's orders whatever became of them. Recency is kept as the date of
  the last order, not as days since then: days since would change for everybody every day. To get days, subtract
  last_order_date from the day of interest. Scores follow fixed thresholds, so a person's row changes only with that person's
  orders. Frequency: 1, 2, 3, 4 to 5, 6 or more orders score 1 to 5. Money: below 50, 100, 200, 500 BRL and from 500 BRL
  score 1 to 5.
source: olist
grain: one row per person who ever ordered
key: [customer_unique_id]
affected_by: customer_unique_id
columns:
  customer_unique_id: The person
  first_order_date: Date of the first order
  last_order_date: Date of the last order; recency is counted from it
  last_order_month: First day of that month, to group persons by recency
  order_count: Orders (frequency)
  delivered_order_count: Of these, orders whose status is delivered by now
  payment_brl: Sum of all payments (money)
  order_value_average_brl: payment_brl / order_count
  days_between_orders_average: Mean days from one order to the next; NULL with one order
  frequency_score: 1 (one order) to 5 (six or more)
  monetary_score: 1 (below 50 BRL) to 5 (500 BRL or more)
  segment: >
    loyal (three or more orders), repeat (two orders), one_time_big (one order of 200 BRL or more), one_time
pii:
  customer_unique_id: pseudonym
references:
  customer_unique_id: gold.dim_customer.customer_unique_id
  first_order_date: gold.dim_date.calendar_date
  last_order_date: gold.dim_date.calendar_date
rules:
  - name: totals_reconcile_to_fact_order
    severity: hard
    description: Orders and payments of a person are those in fact_order
    sql: >
      SELECT staged.customer_unique_id FROM staged
      LEFT JOIN gold.fact_order AS orders ON staged.customer_unique_id = orders.customer_unique_id
      GROUP BY staged.customer_unique_id, staged.order_count, staged.payment_brl
      HAVING staged.order_count <> count(orders.order_id) OR staged.payment_brl <> sum(orders.payment_brl)
  - name: scores_are_in_range
    severity: hard
    description: Scores are 1 to 5 and the last order is not before the first
    sql: >
      SELECT customer_unique_id FROM staged
      WHERE frequency_score NOT BETWEEN 1 AND 5 OR monetary_score NOT BETWEEN 1 AND 5
      OR last_order_date < first_order_date
*/
with totals as (
    select
        orders.customer_unique_id,
        min(orders.order_date) as first_order_date,
        max(orders.order_date) as last_order_date,
        count(*) as order_count,
        sum(case when orders.is_delivered then 1 else 0 end) as delivered_order_count,
        sum(orders.payment_brl) as payment_brl
    from affected.customer_unique_id as unit
    inner join gold.fact_order as orders on unit.customer_unique_id = orders.customer_unique_id
    group by orders.customer_unique_id
)

select
    cast(totals.customer_unique_id as text) as customer_unique_id,
    cast(totals.first_order_date as date) as first_order_date,
    cast(totals.last_order_date as date) as last_order_date,
    cast(date_trunc('month', totals.last_order_date) as date) as last_order_month,
    cast(totals.order_count as integer) as order_count,
    cast(totals.delivered_order_count as integer) as delivered_order_count,
    cast(totals.payment_brl as numeric(14, 2)) as payment_brl,
    cast(
        cast(totals.payment_brl as double precision) / totals.order_count as double precision
    ) as order_value_average_brl,
    cast(
        cast(totals.last_order_date - totals.first_order_date as double precision)
        / nullif(totals.order_count - 1, 0) as double precision
    ) as days_between_orders_average,
    cast(
        case
            when totals.order_count >= 6 then 5
            when totals.order_count >= 4 then 4
            else totals.order_count
        end as integer
    ) as frequency_score,
    cast(
        case
            when totals.payment_brl < 50 then 1
            when totals.payment_brl < 100 then 2
            when totals.payment_brl < 200 then 3
            when totals.payment_brl < 500 then 4
            else 5
        end as integer
    ) as monetary_score,
    cast(
        case
            when totals.order_count >= 3 then 'loyal'
            when totals.order_count = 2 then 'repeat'
            when totals.payment_brl >= 200 then 'one_time_big'
            else 'one_time'
        end as text
    ) as segment
from totals
