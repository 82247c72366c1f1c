-- Orders that changed themselves or in their items, payments or reviews; all orders of the persons concerned, because
-- order numbers and address versions of a person depend on all of that person's orders; and orders whose items point to
-- another version of their product or seller than before.
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
select orders.order_id
from affected.customer_unique_id as persons
inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
union
-- a version that this delivery opens is valid from its date on, so older orders keep theirs
select orders.order_id
from delivery
inner join ods.olist_orders as orders on delivery.partition_key <= orders.order_purchased_at
inner join ods.olist_order_items as items on orders.order_id = items.order_id
inner join affected.product_id as products on items.product_id = products.product_id
union
select orders.order_id
from delivery
inner join ods.olist_orders as orders on delivery.partition_key <= orders.order_purchased_at
inner join ods.olist_order_items as items on orders.order_id = items.order_id
inner join affected.seller_id as sellers on items.seller_id = sellers.seller_id
union
-- a first version that came with this date is corrected in place, for all orders that point to it
select items.order_id
from delivery
inner join gold.dim_product as published on delivery.partition_key <= published.observed_date
inner join affected.product_id as products on published.product_id = products.product_id
inner join ods.olist_order_items as items on published.product_id = items.product_id
