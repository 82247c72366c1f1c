-- Days on which the orders to recompute reached the customer: the present day, and the one that is published.
-- Orders that have not arrived have no such day, and no rows in tables by day of delivery.
select cast(orders.order_delivered_customer_at as date) as delivered_date
from affected.order_id as unit
inner join ods.olist_orders as orders on unit.order_id = orders.order_id
where orders.order_delivered_customer_at is not null
union
select published.delivered_date
from affected.order_id as unit
inner join gold.fact_order as published on unit.order_id = published.order_id
where published.delivered_date is not null
