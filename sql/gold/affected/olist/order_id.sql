-- Orders that changed themselves or in their items, payments or reviews; all orders of the persons concerned, because
-- order numbers and address versions of a person depend on all of that person's orders; and orders of products and
-- sellers of which something else was said, because their items may point to another version than before.
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
select items.order_id
from affected.product_id as products
inner join ods.olist_order_items as items on products.product_id = items.product_id
union
select items.order_id
from affected.seller_id as sellers
inner join ods.olist_order_items as items on sellers.seller_id = items.seller_id
