/*
description: >
  Payments of orders. An order can have several, by different means; totals per order are in fact_order.
source: olist
grain: one row per order and payment
key: [order_id, payment_sequential]
affected_by: order_id
columns:
  order_id: The order
  payment_sequential: Number of the payment within the order, from 1
  order_date: Day of purchase
  customer_key: Version of the person valid at the purchase; refers to dim_customer
  payment_type: Means of payment as the source names it
  payment_installments_count: Instalments chosen
  payment_brl: Amount
pii:
  customer_key: pseudonym
references:
  order_id: gold.fact_order.order_id
  order_date: gold.dim_date.calendar_date
  customer_key: gold.dim_customer.customer_key
rules:
  - name: payments_match_source
    severity: hard
    description: All payments of an order are here, with their amounts
    sql: >
      SELECT payments.order_id, payments.payment_sequential FROM ods.olist_order_payments AS payments
      INNER JOIN (SELECT DISTINCT order_id FROM staged) AS orders ON payments.order_id = orders.order_id
      LEFT JOIN staged
      ON payments.order_id = staged.order_id AND payments.payment_sequential = staged.payment_sequential
      WHERE staged.order_id IS NULL OR staged.payment_brl <> payments.payment_brl
*/
select
    cast(payments.order_id as text) as order_id,
    cast(payments.payment_sequential as integer) as payment_sequential,
    cast(orders.order_date as date) as order_date,
    cast(orders.customer_key as text) as customer_key,
    cast(payments.payment_type as text) as payment_type,
    cast(payments.payment_installments as integer) as payment_installments_count,
    cast(payments.payment_brl as numeric(12, 2)) as payment_brl
from affected.order_id as unit
inner join ods.olist_order_payments as payments on unit.order_id = payments.order_id
inner join gold.fact_order as orders on payments.order_id = orders.order_id
