-- title: Late deliveries
-- text: of orders with a delivery date, by month
-- kind: figure
-- page: today
-- unit: share
select
    date_trunc('month', order_date)::date as x,
    sum(late_order_count)::float / sum(timed_delivery_order_count) as y,
    sum(sum(late_order_count)) over ()::float / sum(sum(timed_delivery_order_count)) over () as total
from gold.kpi_daily
group by 1
having sum(timed_delivery_order_count) >= 30
order by 1
