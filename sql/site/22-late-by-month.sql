-- title: Late deliveries by month
-- text: Share of the month's orders that arrived after the promised day, of those with a delivery date. Months with fewer than 30 of these are left out.
-- kind: line
-- unit: share
select
    date_trunc('month', order_date)::date as x,
    sum(late_order_count)::float / sum(timed_delivery_order_count) as y
from gold.kpi_daily
group by 1
having sum(timed_delivery_order_count) >= 30
order by 1
