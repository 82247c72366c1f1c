-- Months of first order of the persons to recompute: the present month, and the one that is published. A person
-- whose first order moved leaves one cohort and joins another.
with first_orders as (
    select
        unit.customer_unique_id,
        min(orders.order_purchased_at) as first_order_at
    from affected.customer_unique_id as unit
    inner join ods.olist_customers as customers on unit.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
    group by unit.customer_unique_id
)

select cast(date_trunc('month', first_orders.first_order_at) as date) as cohort_month
from first_orders
where first_orders.first_order_at is not null
union
select cast(date_trunc('month', published.customer_first_order_date) as date) as cohort_month
from affected.customer_unique_id as unit
inner join gold.fact_order as published on unit.customer_unique_id = published.customer_unique_id
where published.customer_first_order_date is not null
