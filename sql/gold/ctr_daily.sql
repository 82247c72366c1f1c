-- Ad impressions and clicks by day, summed from ctr_hourly.
with totals as (
    select
        hours.hour_date,
        count(*) as hour_count,
        sum(hours.impression_count) as impression_count,
        sum(hours.click_count) as click_count
    from affected.hour_date as unit
    inner join gold.ctr_hourly as hours on unit.hour_date = hours.hour_date
    group by hours.hour_date
)

select
    totals.hour_date,
    totals.hour_count,
    totals.impression_count,
    totals.click_count,
    cast(totals.click_count as double precision) / totals.impression_count as ctr_rate
from totals
