-- Persons with a changed order, payment or address. The published fact_order knows the person to whom a
-- changed order or customer_id belonged before.
with changed_orders as (
    select orders.order_id
    from changed.olist_orders as orders
    union
    select payments.order_id
    from changed.olist_order_payments as payments
)

select customers.customer_unique_id
from changed.olist_customers as customers
where customers.customer_unique_id is not null
union
select customers.customer_unique_id
from changed_orders
inner join ods.olist_orders as orders on changed_orders.order_id = orders.order_id
inner join ods.olist_customers as customers on orders.customer_id = customers.customer_id
where customers.customer_unique_id is not null
union
select published.customer_unique_id
from changed_orders
inner join gold.fact_order as published on changed_orders.order_id = published.order_id
where published.customer_unique_id is not null
union
select published.customer_unique_id
from changed.olist_customers as customers
inner join gold.fact_order as published on customers.customer_id = published.customer_id
where published.customer_unique_id is not null
