-- Clicks per impression by hour of the day, over all days.
select
    extract(hour from hour_at) as hour_of_day,
    sum(impression_count) as impression_count,
    sum(click_count)::numeric / nullif(sum(impression_count), 0) as ctr_rate
from gold.ctr_hourly
group by 1
order by 1;
