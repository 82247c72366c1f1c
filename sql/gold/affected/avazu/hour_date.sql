-- Days (UTC) of changed impressions; a deleted or moved impression brings its old day on its own changed row.
select distinct cast(impressions.hour as date) as hour_date
from changed.avazu_impressions as impressions
where impressions.hour is not null
