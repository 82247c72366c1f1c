-- Months of purchase of the days to recompute.
select distinct cast(date_trunc('month', purchase_days.order_date) as date) as order_month
from affected.order_date as purchase_days
