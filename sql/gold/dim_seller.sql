/*
description: >
  Sellers and where they ship from, as a type 2 slowly changing dimension. The source gives no dates for sellers, so a version is
  dated by the delivery that brought it: the first known version is valid from the beginning, a later delivery with
  another address closes it and opens a new one at the delivery's date. A delivery for the same date again replaces what the
  first one opened; a delivery for an earlier date corrects the last version, because history that later deliveries brought
  must stay. A seller that the source no longer lists keeps the last version.
source: olist
grain: one row per seller and address
key: [seller_key]
affected_by: seller_id
columns:
  seller_key: Surrogate key of the version, md5 of seller and valid_from; facts refer to it
  seller_id: The seller
  zip_code_prefix: First five digits of the postcode; refers to dim_geography
  city: City as the source gives it
  state: Two-letter state
  observed_date: Date of the delivery that opened the version
  valid_from: Start of validity, inclusive; 1900-01-01 for the first version
  valid_to: End of validity, exclusive; NULL while current
  is_current: The version that is valid now
references:
  zip_code_prefix: gold.dim_geography.zip_code_prefix
rules:
  - name: versions_do_not_overlap
    severity: hard
    description: At any time at most one version of a seller is valid
    sql: >
      SELECT earlier.seller_key FROM staged AS earlier
      INNER JOIN staged AS later
      ON earlier.seller_id = later.seller_id AND earlier.valid_from < later.valid_from
      WHERE earlier.valid_to IS NULL OR earlier.valid_to > later.valid_from
  - name: versions_have_a_length
    severity: hard
    description: A version ends after it begins
    sql: SELECT seller_key FROM staged WHERE valid_to <= valid_from
  - name: one_current_version
    severity: hard
    description: Exactly one version of each seller is current, and it is the open one
    sql: >
      SELECT min(seller_key) AS seller_key FROM staged GROUP BY seller_id
      HAVING sum(CASE WHEN is_current THEN 1 ELSE 0 END) <> 1
      OR sum(CASE WHEN is_current <> (valid_to IS NULL) THEN 1 ELSE 0 END) > 0
  - name: first_version_covers_the_past
    severity: hard
    description: The first version is valid from the beginning, so that every order finds one
    sql: >
      SELECT min(seller_key) AS seller_key FROM staged GROUP BY seller_id
      HAVING min(valid_from) <> TIMESTAMP '1900-01-01 00:00:00'
*/
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
    cast(md5(ranges.seller_id || '|' || cast(ranges.valid_from as text)) as text) as seller_key,
    cast(ranges.seller_id as text) as seller_id,
    cast(ranges.zip_code_prefix as text) as zip_code_prefix,
    cast(ranges.city as text) as city,
    cast(ranges.state as text) as state,
    cast(ranges.observed_date as date) as observed_date,
    cast(ranges.valid_from as timestamp) as valid_from,
    cast(ranges.valid_to as timestamp) as valid_to,
    cast(ranges.valid_to is null as boolean) as is_current
from ranges
