/*
description: >
  What was bought where: items by day of purchase, English product category and state of the customer, both as they were at the
  purchase. An order with items of several categories counts under each, so orders do not add up over categories, while items
  and amounts do. Orders without items do not appear.
source: olist
grain: one row per day of purchase, product category and customer's state
key: [order_date, category_name_english, customer_state]
affected_by: order_date
columns:
  order_date: Day of purchase
  category_name_english: English category; the Portuguese name where there is no translation; unknown without a category
  customer_state: Two-letter state of the address given with the order
  order_count: Orders with at least one item of the category
  item_count: Items
  item_price_brl: Sum of item prices, without freight
  freight_brl: Sum of item freight
  allocated_payment_brl: Share of the orders' payments allocated to these items
references:
  order_date: gold.dim_date.calendar_date
rules:
  - name: totals_reconcile_to_fact_order_item
    severity: hard
    description: Items and amounts of a day are those of fact_order_item, to the cent
    sql: >
      SELECT days.order_date, days.category_name_english, days.customer_state FROM (
        SELECT order_date, min(category_name_english) AS category_name_english,
        min(customer_state) AS customer_state, sum(item_count) AS item_count,
        sum(item_price_brl) AS item_price_brl, sum(freight_brl) AS freight_brl,
        sum(allocated_payment_brl) AS allocated_payment_brl
        FROM staged GROUP BY order_date
      ) AS days
      LEFT JOIN gold.fact_order_item AS items ON days.order_date = items.order_date
      GROUP BY days.order_date, days.category_name_english, days.customer_state, days.item_count,
      days.item_price_brl, days.freight_brl, days.allocated_payment_brl
      HAVING days.item_count <> count(items.order_id)
      OR days.item_price_brl <> sum(items.price_brl) OR days.freight_brl <> sum(items.freight_brl)
      OR days.allocated_payment_brl <> sum(items.allocated_payment_brl)
*/
select
    cast(items.order_date as date) as order_date,
    cast(dim_product.category_name_english as text) as category_name_english,
    cast(dim_customer.state as text) as customer_state,
    cast(count(distinct items.order_id) as integer) as order_count,
    cast(count(*) as integer) as item_count,
    cast(sum(items.price_brl) as numeric(14, 2)) as item_price_brl,
    cast(sum(items.freight_brl) as numeric(14, 2)) as freight_brl,
    cast(sum(items.allocated_payment_brl) as numeric(14, 2)) as allocated_payment_brl
from affected.order_date as unit
inner join gold.fact_order_item as items on unit.order_date = items.order_date
inner join gold.dim_product as dim_product on items.product_key = dim_product.product_key
inner join gold.dim_customer as dim_customer on items.customer_key = dim_customer.customer_key
group by items.order_date, dim_product.category_name_english, dim_customer.state
