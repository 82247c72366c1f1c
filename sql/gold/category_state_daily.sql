-- What was bought where: items by day of purchase, English product category and state of the customer, both as they
-- were at the purchase.
select
    items.order_date,
    dim_product.category_name_english,
    dim_customer.state as customer_state,
    count(distinct items.order_id) as order_count,
    count(*) as item_count,
    sum(items.price_brl) as item_price_brl,
    sum(items.freight_brl) as freight_brl,
    sum(items.allocated_payment_brl) as allocated_payment_brl
from affected.order_date as unit
inner join gold.fact_order_item as items on unit.order_date = items.order_date
inner join gold.dim_product as dim_product on items.product_key = dim_product.product_key
inner join gold.dim_customer as dim_customer on items.customer_key = dim_customer.customer_key
group by items.order_date, dim_product.category_name_english, dim_customer.state
