-- title: Click-through rate by hour
-- text: Clicks per impression with the 95 % interval of Wilson: a narrow band means many impressions. Comparable within this data only; its publisher subsampled clicks and non-clicks.
-- kind: interval
-- unit: share
select
    hour_at as x,
    ctr_rate as y,
    greatest(0, (centre - spread) / (1 + z2 / n)) as low,
    least(1, (centre + spread) / (1 + z2 / n)) as high
from (
    select
        hour_at,
        ctr_rate,
        impression_count::float as n,
        3.8416 as z2,
        ctr_rate + 3.8416 / (2.0 * impression_count) as centre,
        1.96 * sqrt((ctr_rate * (1 - ctr_rate) + 3.8416 / (4.0 * impression_count)) / impression_count) as spread
    from gold.ctr_hourly
) as hours
order by 1
