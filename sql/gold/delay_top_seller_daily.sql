-- The ten sellers with the most late deliveries of a day, by the day on which the orders reached the customer.
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
    ranked.delivered_date,
    ranked.seller_rank,
    ranked.seller_id,
    ranked.delivered_order_count,
    ranked.late_order_count,
    cast(ranked.late_order_count as double precision) / ranked.delivered_order_count as late_rate,
    ranked.delay_days_sum,
    cast(ranked.delay_days_sum as double precision) / ranked.late_order_count as delay_days_average,
    ranked.delay_days_max
from ranked
where ranked.seller_rank <= 10
