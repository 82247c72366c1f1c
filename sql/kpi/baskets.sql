-- The two large facts joined: value, freight and sellers of an order, by month.
select
    date_trunc('month', o.order_date)::date as order_month,
    count(distinct o.order_id) as order_count,
    sum(i.price_brl) as item_price_brl,
    sum(i.freight_brl) / nullif(sum(i.price_brl), 0) as freight_rate,
    count(distinct i.seller_id) as seller_count
from gold.fact_order as o
inner join gold.fact_order_item as i on o.order_id = i.order_id
group by 1
order by 1;
