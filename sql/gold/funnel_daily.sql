/*
description: >
  How far the orders of a day got: placed, approved, handed to the carrier, delivered, reviewed. An order counts in a step when it
  has passed this and all earlier steps, so that the counts never rise from step to step; an order delivered without a recorded
  approval therefore stays at placed.
source: olist
grain: one row per day of purchase and step
key: [order_date, step_number]
affected_by: order_date
columns:
  order_date: Day of purchase
  step_number: 1 to 5, in the order of the steps
  step_name: placed, approved, handed_over, delivered or reviewed
  order_count: Orders that got at least this far
  of_placed_rate: order_count / orders placed on the day
  of_previous_rate: order_count / order_count of the step before; NULL for placed and where nothing reached the step before
references:
  order_date: gold.dim_date.calendar_date
rules:
  - name: steps_do_not_rise
    severity: hard
    description: No step has more orders than the step before, and all five are there
    sql: >
      SELECT later.order_date, later.step_number FROM staged AS later
      LEFT JOIN staged AS earlier
      ON later.order_date = earlier.order_date AND later.step_number = earlier.step_number + 1
      WHERE later.step_number > 1 AND (earlier.step_number IS NULL OR earlier.order_count < later.order_count)
  - name: placed_reconciles_to_fact_order
    severity: hard
    description: The first step holds all orders of the day
    sql: >
      SELECT staged.order_date, staged.step_number FROM staged
      LEFT JOIN gold.fact_order AS orders ON staged.order_date = orders.order_date
      WHERE staged.step_number = 1
      GROUP BY staged.order_date, staged.step_number, staged.order_count
      HAVING staged.order_count <> count(orders.order_id)
*/
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
    cast(compared.order_date as date) as order_date,
    cast(compared.step_number as integer) as step_number,
    cast(compared.step_name as text) as step_name,
    cast(compared.order_count as integer) as order_count,
    cast(
        cast(compared.order_count as double precision) / compared.placed_order_count as double precision
    ) as of_placed_rate,
    cast(
        cast(compared.order_count as double precision)
        / nullif(compared.previous_order_count, 0) as double precision
    ) as of_previous_rate
from compared
