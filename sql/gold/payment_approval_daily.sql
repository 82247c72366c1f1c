-- How many of a day's orders were approved, and how fast, by the means that paid most of the order.
with ranked as (
    select
        orders.order_date,
        orders.main_payment_type,
        orders.order_approved_at,
        orders.approval_hours,
        count(orders.approval_hours) over (
            partition by orders.order_date, orders.main_payment_type
        ) as known_count,
        row_number() over (
            partition by orders.order_date, orders.main_payment_type
            order by orders.approval_hours asc nulls last
        ) as approval_rank
    from affected.order_date as unit
    inner join gold.fact_order as orders on unit.order_date = orders.order_date
),

totals as (
    select
        ranked.order_date,
        ranked.main_payment_type,
        count(*) as order_count,
        count(ranked.order_approved_at) as approved_order_count,
        sum(case when ranked.approval_hours <= 1 then 1 else 0 end) as approved_within_1_hour_count,
        sum(case when ranked.approval_hours <= 24 then 1 else 0 end) as approved_within_24_hours_count,
        sum(ranked.approval_hours) as approval_hours_sum,
        -- discrete percentiles by ranks, rounded up: not every engine has a function for them
        max(
            case when ranked.approval_rank = (ranked.known_count + 1) // 2 then ranked.approval_hours end
        ) as approval_hours_median,
        max(
            case when ranked.approval_rank = (ranked.known_count * 9 + 9) // 10 then ranked.approval_hours end
        ) as approval_hours_p90
    from ranked
    group by ranked.order_date, ranked.main_payment_type
)

select
    totals.order_date,
    totals.main_payment_type,
    totals.order_count,
    totals.approved_order_count,
    cast(totals.approved_order_count as double precision) / totals.order_count as approval_rate,
    totals.approved_within_1_hour_count,
    totals.approved_within_24_hours_count,
    cast(totals.approval_hours_sum as double precision)
    / nullif(totals.approved_order_count, 0) as approval_hours_average,
    totals.approval_hours_median,
    totals.approval_hours_p90
from totals
