-- title: Orders
-- text: placed, by month
-- kind: figure
-- page: today
select date_trunc('month', order_date)::date as x, sum(order_count) as y, sum(sum(order_count)) over () as total
from gold.kpi_daily
group by 1
order by 1
