-- Purchase days of orders that changed themselves or in their items, payments, reviews, products or customer, and
-- of all orders of the persons concerned (who is new on a day depends on the person's other orders).
-- Both the present day and the day that is published: an order that moved leaves one and joins the other.
with persons as (
    select customers.customer_unique_id
    from changed.olist_customers as customers
    union
    select customers.customer_unique_id
    from changed.olist_orders as orders
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

touched_orders as (
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
    union
    -- the category of a product may have been corrected
    select items.order_id
    from changed.olist_products as products
    inner join ods.olist_order_items as items on products.product_id = items.product_id
    union
    select items.order_id
    from changed.olist_product_category_translation as translations
    inner join ods.olist_products as products
        on translations.product_category_name = products.product_category_name
    inner join ods.olist_order_items as items on products.product_id = items.product_id
    union
    select orders.order_id
    from persons
    inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
)

select cast(orders.order_purchased_at as date) as order_date
from touched_orders
inner join ods.olist_orders as orders on touched_orders.order_id = orders.order_id
where orders.order_purchased_at is not null
union
select published.order_date
from touched_orders
inner join gold.fact_order as published on touched_orders.order_id = published.order_id
where published.order_date is not null
