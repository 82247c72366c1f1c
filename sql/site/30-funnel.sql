-- title: How far orders get
-- text: All orders; each step counts those that have passed it and every step before.
-- kind: funnel
-- unit: orders
select replace(step_name, '_', ' ') as x, sum(order_count) as y
from gold.funnel_daily
group by step_number, step_name
order by step_number
