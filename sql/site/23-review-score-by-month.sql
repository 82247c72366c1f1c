-- title: Review score by month
-- text: Average of the latest score of each scored order, from 1 to 5. Months with fewer than 30 of these are left out.
-- kind: line
-- unit: of 5
select date_trunc('month', order_date)::date as x, avg(review_score_latest)::float as y
from gold.fact_order
where review_score_latest is not null
group by 1
having count(*) >= 30
order by 1
