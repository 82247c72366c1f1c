-- Recency, frequency and money per person, over all of the person's orders, with scores by fixed thresholds.
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
    totals.customer_unique_id,
    totals.first_order_date,
    totals.last_order_date,
    date_trunc('month', totals.last_order_date) as last_order_month,
    totals.order_count,
    totals.delivered_order_count,
    totals.payment_brl,
    cast(totals.payment_brl as double precision) / totals.order_count as order_value_average_brl,
    cast(date_diff('day', totals.first_order_date, totals.last_order_date) as double precision)
    / nullif(totals.order_count - 1, 0) as days_between_orders_average,
    case
        when totals.order_count >= 6 then 5
        when totals.order_count >= 4 then 4
        else totals.order_count
    end as frequency_score,
    case
        when totals.payment_brl < 50 then 1
        when totals.payment_brl < 100 then 2
        when totals.payment_brl < 200 then 3
        when totals.payment_brl < 500 then 4
        else 5
    end as monetary_score,
    case
        when totals.order_count >= 3 then 'loyal'
        when totals.order_count = 2 then 'repeat'
        when totals.payment_brl >= 200 then 'one_time_big'
        else 'one_time'
    end as segment
from totals
