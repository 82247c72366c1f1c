-- Months of purchase of the days to recompute.
select distinct cast(date_trunc('month', days.order_date) as date) as order_month
from affected.order_date as days
