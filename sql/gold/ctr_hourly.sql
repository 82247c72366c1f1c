/*
description: >
  Ad impressions and clicks by hour. The publisher of the data subsampled clicks and non-clicks differently, so
  click-through rates compare with each other within this data, not with rates from elsewhere.
source: avazu
grain: one row per hour (UTC) with at least one impression
key: [hour_at]
affected_by: hour_date
columns:
  hour_at: Start of the hour, UTC
  hour_date: Day of the hour, UTC
  impression_count: Ad impressions
  click_count: Impressions that were clicked
  ctr_rate: click_count / impression_count
rules:
  - name: clicks_do_not_exceed_impressions
    severity: hard
    description: An impression is clicked once or not at all
    sql: SELECT hour_at FROM staged WHERE click_count > impression_count OR click_count < 0
  - name: counts_match_source
    severity: hard
    description: Impressions and clicks of an hour are those of ods.avazu_impressions
    sql: >
      SELECT staged.hour_at FROM staged
      LEFT JOIN ods.avazu_impressions AS impressions ON staged.hour_at = impressions.hour
      GROUP BY staged.hour_at, staged.impression_count, staged.click_count
      HAVING staged.impression_count <> count(impressions.id)
      OR staged.click_count <> coalesce(sum(impressions.click), 0)
*/
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
    cast(totals.hour_at as timestamp) as hour_at,
    cast(totals.hour_at as date) as hour_date,
    cast(totals.impression_count as bigint) as impression_count,
    cast(totals.click_count as bigint) as click_count,
    cast(cast(totals.click_count as double precision) / totals.impression_count as double precision) as ctr_rate
from totals
