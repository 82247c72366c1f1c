/*
description: >
  Zip code prefixes with one place each. The centroid is the median of the prefix's distinct points inside Brazil, which a few
  mistyped points cannot move; of an even number of points it is the lower of the two in the middle, so that it is
  always an observed value. Points outside Brazil's bounds are ignored. City and state are the pair most often
  given for the prefix. Prefixes that only customers or sellers use are listed too, without a centroid, so that every
  address finds its row.
source: olist
grain: one row per zip code prefix
key: [zip_code_prefix]
affected_by: zip_code_prefix
columns:
  zip_code_prefix: First five digits of the postcode, with leading zeros
  city: City most often given with the prefix (ties by state, then city, alphabetically)
  state: Two-letter state of that city
  latitude_deg: Median latitude in degrees; NULL without a plausible point
  longitude_deg: Median longitude in degrees; NULL without a plausible point
  point_count: Distinct points known for the prefix
  plausible_point_count: Of these, points inside latitude -34 to 5.5 and longitude -74 to -32
  is_in_geolocation: The prefix occurs in the geolocation table, not only in addresses
rules:
  - name: centroid_is_in_brazil
    severity: hard
    description: A centroid lies inside Brazil's bounds and exists exactly where there is a plausible point
    sql: >
      SELECT zip_code_prefix FROM staged
      WHERE (plausible_point_count > 0) <> (latitude_deg IS NOT NULL AND longitude_deg IS NOT NULL)
      OR latitude_deg NOT BETWEEN -34 AND 5.5 OR longitude_deg NOT BETWEEN -74 AND -32
  - name: every_prefix_has_a_city
    severity: hard
    description: City and state are known
    sql: SELECT zip_code_prefix FROM staged WHERE city IS NULL OR state IS NULL
*/
with points as (
    select distinct
        geolocation.zip_code_prefix,
        geolocation.latitude_deg,
        geolocation.longitude_deg
    from affected.zip_code_prefix as unit
    inner join ods.olist_geolocation as geolocation on unit.zip_code_prefix = geolocation.zip_code_prefix
),

point_counts as (
    select
        points.zip_code_prefix,
        count(*) as point_count
    from points
    group by points.zip_code_prefix
),

centroids as (
    select
        points.zip_code_prefix,
        count(*) as plausible_point_count,
        percentile_disc(0.5) within group (order by points.latitude_deg) as latitude_deg,
        percentile_disc(0.5) within group (order by points.longitude_deg) as longitude_deg
    from points
    where points.latitude_deg between -34 and 5.5 and points.longitude_deg between -74 and -32
    group by points.zip_code_prefix
),

-- what geolocation says goes before what addresses say
mentions as (
    select
        geolocation.zip_code_prefix,
        geolocation.city,
        geolocation.state,
        1 as source_rank
    from affected.zip_code_prefix as unit
    inner join ods.olist_geolocation as geolocation on unit.zip_code_prefix = geolocation.zip_code_prefix
    union all
    select
        customers.zip_code_prefix,
        customers.city,
        customers.state,
        2 as source_rank
    from affected.zip_code_prefix as unit
    inner join ods.olist_customers as customers on unit.zip_code_prefix = customers.zip_code_prefix
    union all
    select
        sellers.zip_code_prefix,
        sellers.city,
        sellers.state,
        2 as source_rank
    from affected.zip_code_prefix as unit
    inner join ods.olist_sellers as sellers on unit.zip_code_prefix = sellers.zip_code_prefix
),

places as (
    select
        mentions.zip_code_prefix,
        mentions.city,
        mentions.state,
        mentions.source_rank,
        count(*) as mention_count
    from mentions
    group by mentions.zip_code_prefix, mentions.city, mentions.state, mentions.source_rank
),

ranked_places as (
    select
        places.zip_code_prefix,
        places.city,
        places.state,
        row_number() over (
            partition by places.zip_code_prefix
            order by
                places.source_rank asc, places.mention_count desc, places.state asc, places.city asc
        ) as place_rank
    from places
)

select
    cast(ranked_places.zip_code_prefix as text) as zip_code_prefix,
    cast(ranked_places.city as text) as city,
    cast(ranked_places.state as text) as state,
    cast(centroids.latitude_deg as double precision) as latitude_deg,
    cast(centroids.longitude_deg as double precision) as longitude_deg,
    cast(coalesce(point_counts.point_count, 0) as integer) as point_count,
    cast(coalesce(centroids.plausible_point_count, 0) as integer) as plausible_point_count,
    cast(point_counts.point_count is not null as boolean) as is_in_geolocation
from ranked_places
left join point_counts on ranked_places.zip_code_prefix = point_counts.zip_code_prefix
left join centroids on ranked_places.zip_code_prefix = centroids.zip_code_prefix
where ranked_places.place_rank = 1
