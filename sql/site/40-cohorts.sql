-- title: Who comes back
-- text: Of the persons who first ordered in a month, the share that ordered again in each of the next twelve months. Cohorts of fewer than 30 are left out, and months after the last purchase day.
-- kind: heatmap
-- unit: share
-- x: months since the first order
-- y: month of the first order
select to_char(cohort_month, 'YYYY-MM') as y, month_number as x, retention_rate as value
from gold.cohort_monthly_retention
where month_number between 1 and 12 and cohort_customer_count >= 30
order by 1, 2
