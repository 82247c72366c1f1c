-- Sellers and where they ship from, versioned by the delivery that brought another address. Reads its own served rows:
-- versions that earlier deliveries opened stay.
-- the date from which a version is computed anew
with openings as (
    select
        unit.seller_id,
        greatest(
            delivery.partition_key, coalesce(max(published.observed_date), delivery.partition_key)
        ) as opening_date
    from affected.seller_id as unit
    cross join delivery
    left join gold.dim_seller as published on unit.seller_id = published.seller_id
    group by unit.seller_id, delivery.partition_key
),

-- versions that earlier deliveries opened; what this date opened before is computed anew
kept as (
    select
        published.seller_id,
        published.zip_code_prefix,
        published.city,
        published.state,
        published.observed_date,
        published.valid_from,
        row_number() over (
            partition by published.seller_id order by published.valid_from desc
        ) as recency_rank
    from openings
    inner join gold.dim_seller as published on openings.seller_id = published.seller_id
    where published.observed_date < openings.opening_date
),

opened as (
    select
        sellers.seller_id,
        sellers.zip_code_prefix,
        sellers.city,
        sellers.state,
        openings.opening_date as observed_date,
        case
            when latest.seller_id is null then timestamp '1900-01-01 00:00:00'
            else cast(openings.opening_date as timestamp)
        end as valid_from
    from openings
    inner join ods.olist_sellers as sellers on openings.seller_id = sellers.seller_id
    left join kept as latest on sellers.seller_id = latest.seller_id and latest.recency_rank = 1
    where
        latest.seller_id is null
        or sellers.zip_code_prefix is distinct from latest.zip_code_prefix
        or sellers.city is distinct from latest.city
        or sellers.state is distinct from latest.state
),

versions as (
    select
        kept.seller_id,
        kept.zip_code_prefix,
        kept.city,
        kept.state,
        kept.observed_date,
        kept.valid_from
    from kept
    union all
    select
        opened.seller_id,
        opened.zip_code_prefix,
        opened.city,
        opened.state,
        opened.observed_date,
        opened.valid_from
    from opened
),

ranges as (
    select
        versions.*,
        lead(versions.valid_from) over (
            partition by versions.seller_id order by versions.valid_from
        ) as valid_to
    from versions
)

select
    md5(ranges.seller_id || '|' || cast(ranges.valid_from as text)) as seller_key,
    ranges.seller_id,
    ranges.zip_code_prefix,
    ranges.city,
    ranges.state,
    ranges.observed_date,
    ranges.valid_from,
    ranges.valid_to,
    ranges.valid_to is null as is_current
from ranges
