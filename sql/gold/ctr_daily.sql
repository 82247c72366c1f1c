/*
description: >
  Ad impressions and clicks by day, summed from ctr_hourly. See there for what the rate can be compared with.
source: avazu
grain: one row per day (UTC) with at least one impression
key: [hour_date]
affected_by: hour_date
columns:
  hour_date: Day, UTC
  hour_count: Hours of the day with at least one impression; less than 24 = the day is not complete
  impression_count: Ad impressions
  click_count: Impressions that were clicked
  ctr_rate: click_count / impression_count
rules:
  - name: totals_reconcile_to_hours
    severity: hard
    description: The day is the sum of its hours
    sql: >
      SELECT staged.hour_date FROM staged
      LEFT JOIN gold.ctr_hourly AS hours ON staged.hour_date = hours.hour_date
      GROUP BY staged.hour_date, staged.impression_count, staged.click_count
      HAVING staged.impression_count <> coalesce(sum(hours.impression_count), 0)
      OR staged.click_count <> coalesce(sum(hours.click_count), 0)
  - name: day_is_complete
    severity: soft
    description: Every hour of the day has impressions
    sql: SELECT hour_date FROM staged WHERE hour_count < 24
*/
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
    cast(totals.hour_date as date) as hour_date,
    cast(totals.hour_count as integer) as hour_count,
    cast(totals.impression_count as bigint) as impression_count,
    cast(totals.click_count as bigint) as click_count,
    cast(cast(totals.click_count as double precision) / totals.impression_count as double precision) as ctr_rate
from totals
