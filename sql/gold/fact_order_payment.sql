-- Payments of orders.
select
    payments.order_id,
    payments.payment_sequential,
    orders.order_date,
    orders.customer_key,
    payments.payment_type,
    payments.payment_installments as payment_installments_count,
    payments.payment_brl
from affected.order_id as unit
inner join ods.olist_order_payments as payments on unit.order_id = payments.order_id
inner join gold.fact_order as orders on payments.order_id = orders.order_id
