/*
description: >
  The ten sellers with the most late deliveries of a day, by the day on which the orders reached the customer. An order with items
  of several sellers counts for each of them. Days without a late delivery have no rows.
source: olist
grain: one row per day of delivery and seller among that day's ten worst
key: [delivered_date, seller_id]
affected_by: delivered_date
columns:
  delivered_date: Day on which the orders reached the customer
  seller_rank: 1 to 10; most late orders first, then most days of delay, then seller_id
  seller_id: The seller
  delivered_order_count: Orders of the seller delivered on the day
  late_order_count: Of these, orders delivered after the promised day; at least 1
  late_rate: late_order_count / delivered_order_count
  delay_days_sum: Days of delay of the late orders together
  delay_days_average: delay_days_sum / late_order_count
  delay_days_max: Longest delay in days
references:
  delivered_date: gold.dim_date.calendar_date
  seller_id: gold.dim_seller.seller_id
rules:
  - name: ranks_count_from_one
    severity: hard
    description: The ranks of a day are 1, 2, 3 … up to at most 10, each once
    sql: >
      SELECT delivered_date, min(seller_id) AS seller_id FROM staged GROUP BY delivered_date
      HAVING min(seller_rank) <> 1 OR max(seller_rank) <> count(*) OR count(*) > 10
      OR count(DISTINCT seller_rank) <> count(*)
  - name: only_late_sellers
    severity: hard
    description: A listed seller has late orders, none of which was in time
    sql: >
      SELECT delivered_date, seller_id FROM staged
      WHERE late_order_count < 1 OR late_order_count > delivered_order_count OR delay_days_sum < late_order_count
*/
with seller_orders as (
    -- one row per order and seller, however many items
    select distinct
        orders.delivered_date,
        items.seller_id,
        orders.order_id,
        orders.is_late,
        orders.delay_days
    from affected.delivered_date as unit
    inner join gold.fact_order as orders on unit.delivered_date = orders.delivered_date
    inner join gold.fact_order_item as items on orders.order_id = items.order_id
    where orders.is_late is not null
),

totals as (
    select
        seller_orders.delivered_date,
        seller_orders.seller_id,
        count(*) as delivered_order_count,
        sum(case when seller_orders.is_late then 1 else 0 end) as late_order_count,
        sum(case when seller_orders.is_late then seller_orders.delay_days end) as delay_days_sum,
        max(case when seller_orders.is_late then seller_orders.delay_days end) as delay_days_max
    from seller_orders
    group by seller_orders.delivered_date, seller_orders.seller_id
),

ranked as (
    select
        totals.delivered_date,
        totals.seller_id,
        totals.delivered_order_count,
        totals.late_order_count,
        totals.delay_days_sum,
        totals.delay_days_max,
        row_number() over (
            partition by totals.delivered_date
            order by totals.late_order_count desc, totals.delay_days_sum desc, totals.seller_id asc
        ) as seller_rank
    from totals
    where totals.late_order_count > 0
)

select
    cast(ranked.delivered_date as date) as delivered_date,
    cast(ranked.seller_rank as integer) as seller_rank,
    cast(ranked.seller_id as text) as seller_id,
    cast(ranked.delivered_order_count as integer) as delivered_order_count,
    cast(ranked.late_order_count as integer) as late_order_count,
    cast(
        cast(ranked.late_order_count as double precision) / ranked.delivered_order_count as double precision
    ) as late_rate,
    cast(ranked.delay_days_sum as integer) as delay_days_sum,
    cast(
        cast(ranked.delay_days_sum as double precision) / ranked.late_order_count as double precision
    ) as delay_days_average,
    cast(ranked.delay_days_max as integer) as delay_days_max
from ranked
where ranked.seller_rank <= 10
