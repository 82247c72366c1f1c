-- title: Click-through rate
-- text: of ad impressions, by hour
-- kind: figure
-- page: today
-- unit: share
select
    hour_at as x,
    ctr_rate as y,
    sum(click_count) over ()::float / sum(impression_count) over () as total
from gold.ctr_hourly
order by 1
