-- How far the orders of a day got: an order counts in a step when it has passed this and all earlier steps.
with reached as (
    select
        orders.order_date,
        case
            when orders.order_approved_at is null then 1
            when orders.order_delivered_carrier_at is null then 2
            when not orders.is_delivered then 3
            when orders.review_count = 0 then 4
            else 5
        end as last_step_number
    from affected.order_date as unit
    inner join gold.fact_order as orders on unit.order_date = orders.order_date
),

steps as (
    select
        step_names.step_number,
        step_names.step_name
    from (
        values (1, 'placed'), (2, 'approved'), (3, 'handed_over'), (4, 'delivered'), (5, 'reviewed')
    ) as step_names (step_number, step_name)
),

counts as (
    select
        reached.order_date,
        steps.step_number,
        steps.step_name,
        sum(case when reached.last_step_number >= steps.step_number then 1 else 0 end) as order_count,
        count(*) as placed_order_count
    from reached
    cross join steps
    group by reached.order_date, steps.step_number, steps.step_name
),

compared as (
    select
        counts.order_date,
        counts.step_number,
        counts.step_name,
        counts.order_count,
        counts.placed_order_count,
        lag(counts.order_count) over (
            partition by counts.order_date order by counts.step_number
        ) as previous_order_count
    from counts
)

select
    compared.order_date,
    compared.step_number,
    compared.step_name,
    compared.order_count,
    cast(compared.order_count as double precision) / compared.placed_order_count as of_placed_rate,
    cast(compared.order_count as double precision)
    / nullif(compared.previous_order_count, 0) as of_previous_rate
from compared
