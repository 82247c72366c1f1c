-- Compiled from contracts/olist/geolocation.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(geolocation_zip_code_prefix) between 33 and 126 and unicode(reverse(geolocation_zip_code_prefix)) between 33 and 126 then geolocation_zip_code_prefix else nullif(regexp_replace(geolocation_zip_code_prefix, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as zip_code_prefix,
        case when unicode(geolocation_lat) between 33 and 126 and unicode(reverse(geolocation_lat)) between 33 and 126 then geolocation_lat else nullif(regexp_replace(geolocation_lat, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as latitude_deg__text,
        case when unicode(geolocation_lng) between 33 and 126 and unicode(reverse(geolocation_lng)) between 33 and 126 then geolocation_lng else nullif(regexp_replace(geolocation_lng, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as longitude_deg__text,
        case when unicode(geolocation_city) between 33 and 126 and unicode(reverse(geolocation_city)) between 33 and 126 then geolocation_city else nullif(regexp_replace(geolocation_city, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as city,
        case when unicode(geolocation_state) between 33 and 126 and unicode(reverse(geolocation_state)) between 33 and 126 then geolocation_state else nullif(regexp_replace(geolocation_state, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as state,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        zip_code_prefix,
        case when regexp_matches(latitude_deg__text, '^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$') then try_cast(latitude_deg__text as double precision) end as latitude_deg,
        latitude_deg__text,
        case when regexp_matches(longitude_deg__text, '^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$') then try_cast(longitude_deg__text as double precision) end as longitude_deg,
        longitude_deg__text,
        city,
        state,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        zip_code_prefix,
        latitude_deg,
        longitude_deg,
        city,
        state,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                zip_code_prefix is null or
                latitude_deg is null or
                longitude_deg is null or
                city is null or
                state is null or
                not regexp_matches(zip_code_prefix, '^[0-9]{5}$') or
                (latitude_deg < -90 or latitude_deg > 90) or
                (longitude_deg < -180 or longitude_deg > 180) or
                state not in ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO')
            then concat_ws(
                ', ',
                case when zip_code_prefix is null then 'zip_code_prefix is empty' end,
                case when latitude_deg is null then case when regexp_matches(latitude_deg__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'latitude_deg is not a double precision' else 'latitude_deg is empty' end end,
                case when longitude_deg is null then case when regexp_matches(longitude_deg__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'longitude_deg is not a double precision' else 'longitude_deg is empty' end end,
                case when city is null then 'city is empty' end,
                case when state is null then 'state is empty' end,
                case when not regexp_matches(zip_code_prefix, '^[0-9]{5}$') then 'zip_code_prefix_has_five_digits' end,
                case when (latitude_deg < -90 or latitude_deg > 90) then 'latitude_deg_exists' end,
                case when (longitude_deg < -180 or longitude_deg > 180) then 'longitude_deg_exists' end,
                case when state not in ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO') then 'state_is_brazilian' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select zip_code_prefix, latitude_deg, longitude_deg, city, state, _delivery from judged group by zip_code_prefix, latitude_deg, longitude_deg, city, state, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by zip_code_prefix, latitude_deg, longitude_deg, city, state, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by zip_code_prefix, latitude_deg, longitude_deg, city, state, _delivery order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (zip_code_prefix, latitude_deg, longitude_deg, city, state, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
