-- Months of first order of the persons with a changed order, payment or address: the present month, and the one
-- that is published (a person whose first order moved leaves one cohort and joins another).
with persons as (
    select customers.customer_unique_id
    from changed.olist_customers as customers
    union
    select customers.customer_unique_id
    from changed.olist_orders as orders
    inner join ods.olist_customers as customers on orders.customer_id = customers.customer_id
    union
    select customers.customer_unique_id
    from changed.olist_order_payments as payments
    inner join ods.olist_orders as orders on payments.order_id = orders.order_id
    inner join ods.olist_customers as customers on orders.customer_id = customers.customer_id
    union
    select published.customer_unique_id
    from changed.olist_orders as orders
    inner join gold.fact_order as published on orders.order_id = published.order_id
    union
    select published.customer_unique_id
    from changed.olist_customers as customers
    inner join gold.fact_order as published on customers.customer_id = published.customer_id
),

first_orders as (
    select
        persons.customer_unique_id,
        min(orders.order_purchased_at) as first_order_at
    from persons
    inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
    group by persons.customer_unique_id
)

select cast(date_trunc('month', first_orders.first_order_at) as date) as cohort_month
from first_orders
where first_orders.first_order_at is not null
union
select cast(date_trunc('month', published.customer_first_order_date) as date) as cohort_month
from persons
inner join gold.fact_order as published on persons.customer_unique_id = published.customer_unique_id
where published.customer_first_order_date is not null
