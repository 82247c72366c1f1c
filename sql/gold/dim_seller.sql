-- Sellers and where they ship from, versioned by the deliveries that brought another address: a function of their
-- history. A state with the same address, or that ended because the source left the seller out, opens no version.
with states as (
    select
        history.seller_id,
        history.zip_code_prefix,
        history.city,
        history.state,
        cast(history.valid_from as timestamp) as said_at,
        row_number() over (partition by history.seller_id order by history.valid_from) as state_number
    from affected.seller_id as unit
    inner join ods.olist_sellers_history as history on unit.seller_id = history.seller_id
    where not history.is_deleted
),

versions as (
    select
        states.seller_id,
        states.zip_code_prefix,
        states.city,
        states.state,
        case
            when earlier.seller_id is null then timestamp '1900-01-01 00:00:00'
            else states.said_at
        end as valid_from
    from states
    left join states as earlier
        on states.seller_id = earlier.seller_id and states.state_number = earlier.state_number + 1
    where
        earlier.seller_id is null
        or states.zip_code_prefix is distinct from earlier.zip_code_prefix
        or states.city is distinct from earlier.city
        or states.state is distinct from earlier.state
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
    ranges.valid_from,
    ranges.valid_to,
    ranges.valid_to is null as is_current
from ranges
