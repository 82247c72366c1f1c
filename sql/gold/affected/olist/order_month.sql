-- Months of purchase of orders that changed themselves or in their items, payments or reviews: the present month and
-- the one that is published.
with touched_orders as (
    select orders.order_id
    from changed.olist_orders as orders
    union
    select items.order_id
    from changed.olist_order_items as items
    union
    select payments.order_id
    from changed.olist_order_payments as payments
    union
    select reviews.order_id
    from changed.olist_order_reviews as reviews
)

select cast(date_trunc('month', orders.order_purchased_at) as date) as order_month
from touched_orders
inner join ods.olist_orders as orders on touched_orders.order_id = orders.order_id
where orders.order_purchased_at is not null
union
select cast(date_trunc('month', published.order_date) as date) as order_month
from touched_orders
inner join gold.fact_order as published on touched_orders.order_id = published.order_id
where published.order_date is not null
