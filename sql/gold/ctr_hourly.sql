-- Ad impressions and clicks by hour.
with totals as (
    select
        impressions.hour as hour_at,
        count(*) as impression_count,
        sum(impressions.click) as click_count
    from affected.hour_date as unit
    inner join ods.avazu_impressions as impressions on unit.hour_date = cast(impressions.hour as date)
    group by impressions.hour
)

select
    totals.hour_at,
    cast(totals.hour_at as date) as hour_date,
    totals.impression_count,
    totals.click_count,
    cast(totals.click_count as double precision) / totals.impression_count as ctr_rate
from totals
