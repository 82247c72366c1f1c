-- Days on which changed orders, or orders with changed items, reached the customer: the present day and the one
-- that is published. Orders that have not arrived have no such day and no rows in tables by day of delivery.
with touched_orders as (
    select orders.order_id
    from changed.olist_orders as orders
    union
    select items.order_id
    from changed.olist_order_items as items
)

select cast(orders.order_delivered_customer_at as date) as delivered_date
from touched_orders
inner join ods.olist_orders as orders on touched_orders.order_id = orders.order_id
where orders.order_delivered_customer_at is not null
union
select published.delivered_date
from touched_orders
inner join gold.fact_order as published on touched_orders.order_id = published.order_id
where published.delivered_date is not null
