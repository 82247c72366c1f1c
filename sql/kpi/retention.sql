-- Who comes back: retention by cohort and month since the first order.
select
    cohort_month,
    month_number,
    retention_rate
from gold.cohort_monthly_retention
order by cohort_month, month_number;
