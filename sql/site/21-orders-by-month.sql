-- title: Orders by month
-- text: Orders placed. The first and last months of a dump are rarely complete.
-- kind: bars
-- unit: orders
select date_trunc('month', order_date)::date as x, sum(order_count) as y
from gold.kpi_daily
group by 1
order by 1
