-- title: Payments
-- text: of these orders, by month
-- kind: figure
-- page: today
-- unit: BRL
select date_trunc('month', order_date)::date as x, sum(payment_brl) as y, sum(sum(payment_brl)) over () as total
from gold.kpi_daily
group by 1
order by 1
