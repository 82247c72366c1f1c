-- Zip code prefixes with one place each: the median of the plausible points, and the place named most often.
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

ranked_points as (
    select
        points.zip_code_prefix,
        points.latitude_deg,
        points.longitude_deg,
        count(*) over (partition by points.zip_code_prefix) as plausible_point_count,
        row_number() over (partition by points.zip_code_prefix order by points.latitude_deg) as latitude_rank,
        row_number()
            over (partition by points.zip_code_prefix order by points.longitude_deg)
            as longitude_rank
    from points
    where points.latitude_deg between -34 and 5.5 and points.longitude_deg between -74 and -32
),

-- the discrete median by ranks: not every engine has a function for it
centroids as (
    select
        ranked_points.zip_code_prefix,
        ranked_points.plausible_point_count,
        max(
            case
                when
                    ranked_points.latitude_rank = (ranked_points.plausible_point_count + 1) // 2
                    then ranked_points.latitude_deg
            end
        ) as latitude_deg,
        max(
            case
                when
                    ranked_points.longitude_rank = (ranked_points.plausible_point_count + 1) // 2
                    then ranked_points.longitude_deg
            end
        ) as longitude_deg
    from ranked_points
    group by ranked_points.zip_code_prefix, ranked_points.plausible_point_count
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
    ranked_places.zip_code_prefix,
    ranked_places.city,
    ranked_places.state,
    centroids.latitude_deg,
    centroids.longitude_deg,
    coalesce(point_counts.point_count, 0) as point_count,
    coalesce(centroids.plausible_point_count, 0) as plausible_point_count,
    point_counts.point_count is not null as is_in_geolocation
from ranked_places
left join point_counts on ranked_places.zip_code_prefix = point_counts.zip_code_prefix
left join centroids on ranked_places.zip_code_prefix = centroids.zip_code_prefix
where ranked_places.place_rank = 1
