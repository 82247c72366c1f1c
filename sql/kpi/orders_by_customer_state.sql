-- Off the marts: facts joined to a dimension, as an analyst explores.
select
    c.state,
    o.main_payment_type,
    count(*) as order_count,
    count(distinct o.customer_unique_id) as customer_count,
    sum(o.payment_brl) as payment_brl,
    percentile_cont(0.9) within group (order by o.delivery_days) as delivery_days_p90
from gold.fact_order as o
inner join gold.dim_customer as c on o.customer_key = c.customer_key
group by c.state, o.main_payment_type
order by payment_brl desc;
