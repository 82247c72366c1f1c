-- Purchase days of the orders to recompute: the present day, and the one that is published. An order that moved
-- leaves one day and joins another.
select cast(orders.order_purchased_at as date) as order_date
from affected.order_id as unit
inner join ods.olist_orders as orders on unit.order_id = orders.order_id
where orders.order_purchased_at is not null
union
select published.order_date
from affected.order_id as unit
inner join gold.fact_order as published on unit.order_id = published.order_id
where published.order_date is not null
