-- title: Payments by month
-- text: What customers paid, by month of purchase, whatever became of the orders.
-- kind: bars
-- unit: BRL
select date_trunc('month', order_date)::date as x, sum(payment_brl) as y
from gold.kpi_daily
group by 1
order by 1
