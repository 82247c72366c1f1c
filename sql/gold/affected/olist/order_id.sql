-- Orders that changed themselves or in their items, payments or reviews; orders of a product or seller that
-- changed (its version may have been replaced); and all orders of a person one of whose orders or addresses
-- changed, because order numbers and address versions of a person depend on all of that person's orders.
with persons as (
    select customers.customer_unique_id
    from changed.olist_customers as customers
    union
    select customers.customer_unique_id
    from changed.olist_orders as orders
    inner join ods.olist_customers as customers on orders.customer_id = customers.customer_id
    union
    -- the person to whom the order or the customer_id belonged before
    select published.customer_unique_id
    from changed.olist_orders as orders
    inner join gold.fact_order as published on orders.order_id = published.order_id
    union
    select published.customer_unique_id
    from changed.olist_customers as customers
    inner join gold.fact_order as published on customers.customer_id = published.customer_id
)

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
select items.order_id
from changed.olist_sellers as sellers
inner join ods.olist_order_items as items on sellers.seller_id = items.seller_id
union
select orders.order_id
from persons
inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
