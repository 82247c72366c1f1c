-- Compiled from contracts/avazu/impressions.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        id as id__text,
        try_cast(id as numeric(20,0)) as id,
        click as click__text,
        try_cast(click as smallint) as click,
        case when unicode(hour) between 33 and 126 and unicode(reverse(hour)) between 33 and 126 then hour else nullif(regexp_replace(hour, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as hour__text,
        c1 as c1__text,
        try_cast(c1 as integer) as c1,
        banner_pos as banner_pos__text,
        try_cast(banner_pos as smallint) as banner_pos,
        case when unicode(site_id) between 33 and 126 and unicode(reverse(site_id)) between 33 and 126 then site_id else nullif(regexp_replace(site_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as site_id,
        case when unicode(site_domain) between 33 and 126 and unicode(reverse(site_domain)) between 33 and 126 then site_domain else nullif(regexp_replace(site_domain, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as site_domain,
        case when unicode(site_category) between 33 and 126 and unicode(reverse(site_category)) between 33 and 126 then site_category else nullif(regexp_replace(site_category, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as site_category,
        case when unicode(app_id) between 33 and 126 and unicode(reverse(app_id)) between 33 and 126 then app_id else nullif(regexp_replace(app_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as app_id,
        case when unicode(app_domain) between 33 and 126 and unicode(reverse(app_domain)) between 33 and 126 then app_domain else nullif(regexp_replace(app_domain, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as app_domain,
        case when unicode(app_category) between 33 and 126 and unicode(reverse(app_category)) between 33 and 126 then app_category else nullif(regexp_replace(app_category, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as app_category,
        case when unicode(device_id) between 33 and 126 and unicode(reverse(device_id)) between 33 and 126 then device_id else nullif(regexp_replace(device_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as device_id,
        case when unicode(device_ip) between 33 and 126 and unicode(reverse(device_ip)) between 33 and 126 then device_ip else nullif(regexp_replace(device_ip, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as device_ip,
        case when unicode(device_model) between 33 and 126 and unicode(reverse(device_model)) between 33 and 126 then device_model else nullif(regexp_replace(device_model, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as device_model,
        device_type as device_type__text,
        try_cast(device_type as smallint) as device_type,
        device_conn_type as device_conn_type__text,
        try_cast(device_conn_type as smallint) as device_conn_type,
        c14 as c14__text,
        try_cast(c14 as integer) as c14,
        c15 as c15__text,
        try_cast(c15 as integer) as c15,
        c16 as c16__text,
        try_cast(c16 as integer) as c16,
        c17 as c17__text,
        try_cast(c17 as integer) as c17,
        c18 as c18__text,
        try_cast(c18 as integer) as c18,
        c19 as c19__text,
        try_cast(c19 as integer) as c19,
        c20 as c20__text,
        try_cast(c20 as integer) as c20,
        c21 as c21__text,
        try_cast(c21 as integer) as c21,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        case when cast(id as text) = id__text then id else try_cast(regexp_extract(id__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as numeric(20,0)) end as id,
        id__text,
        case when cast(click as text) = click__text then click else try_cast(regexp_extract(click__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as click,
        click__text,
        case when regexp_matches(hour__text, '^[0-9]{6}([01][0-9]|2[0-3])$') then try_cast(concat('20', substring(hour__text, 1, 2), '-', substring(hour__text, 3, 2), '-', substring(hour__text, 5, 2), ' ', substring(hour__text, 7, 2), ':00:00') as timestamp) end as hour,
        hour__text,
        case when cast(c1 as text) = c1__text then c1 else try_cast(regexp_extract(c1__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c1,
        c1__text,
        case when cast(banner_pos as text) = banner_pos__text then banner_pos else try_cast(regexp_extract(banner_pos__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as banner_pos,
        banner_pos__text,
        site_id,
        site_domain,
        site_category,
        app_id,
        app_domain,
        app_category,
        device_id,
        device_ip,
        device_model,
        case when cast(device_type as text) = device_type__text then device_type else try_cast(regexp_extract(device_type__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as device_type,
        device_type__text,
        case when cast(device_conn_type as text) = device_conn_type__text then device_conn_type else try_cast(regexp_extract(device_conn_type__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as smallint) end as device_conn_type,
        device_conn_type__text,
        case when cast(c14 as text) = c14__text then c14 else try_cast(regexp_extract(c14__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c14,
        c14__text,
        case when cast(c15 as text) = c15__text then c15 else try_cast(regexp_extract(c15__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c15,
        c15__text,
        case when cast(c16 as text) = c16__text then c16 else try_cast(regexp_extract(c16__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c16,
        c16__text,
        case when cast(c17 as text) = c17__text then c17 else try_cast(regexp_extract(c17__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c17,
        c17__text,
        case when cast(c18 as text) = c18__text then c18 else try_cast(regexp_extract(c18__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c18,
        c18__text,
        case when cast(c19 as text) = c19__text then c19 else try_cast(regexp_extract(c19__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c19,
        c19__text,
        case when cast(c20 as text) = c20__text then c20 else try_cast(regexp_extract(c20__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c20,
        c20__text,
        case when cast(c21 as text) = c21__text then c21 else try_cast(regexp_extract(c21__text, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*([+-]?[0-9]+)[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]*$', 1) as integer) end as c21,
        c21__text,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        id,
        click,
        hour,
        c1,
        banner_pos,
        site_id,
        site_domain,
        site_category,
        app_id,
        app_domain,
        app_category,
        device_id,
        device_ip,
        device_model,
        device_type,
        device_conn_type,
        c14,
        c15,
        c16,
        c17,
        c18,
        c19,
        c20,
        c21,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                id is null or
                click is null or
                hour is null or
                c1 is null or
                banner_pos is null or
                site_id is null or
                site_domain is null or
                site_category is null or
                app_id is null or
                app_domain is null or
                app_category is null or
                device_id is null or
                device_ip is null or
                device_model is null or
                device_type is null or
                device_conn_type is null or
                c14 is null or
                c15 is null or
                c16 is null or
                c17 is null or
                c18 is null or
                c19 is null or
                c20 is null or
                c21 is null or
                click not in (0, 1) or
                banner_pos < 0
            then concat_ws(
                ', ',
                case when id is null then case when regexp_matches(id__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'id is not a numeric(20,0)' else 'id is empty' end end,
                case when click is null then case when regexp_matches(click__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'click is not a smallint' else 'click is empty' end end,
                case when hour is null then case when regexp_matches(hour__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'hour is not a timestamp' else 'hour is empty' end end,
                case when c1 is null then case when regexp_matches(c1__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c1 is not a integer' else 'c1 is empty' end end,
                case when banner_pos is null then case when regexp_matches(banner_pos__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'banner_pos is not a smallint' else 'banner_pos is empty' end end,
                case when site_id is null then 'site_id is empty' end,
                case when site_domain is null then 'site_domain is empty' end,
                case when site_category is null then 'site_category is empty' end,
                case when app_id is null then 'app_id is empty' end,
                case when app_domain is null then 'app_domain is empty' end,
                case when app_category is null then 'app_category is empty' end,
                case when device_id is null then 'device_id is empty' end,
                case when device_ip is null then 'device_ip is empty' end,
                case when device_model is null then 'device_model is empty' end,
                case when device_type is null then case when regexp_matches(device_type__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'device_type is not a smallint' else 'device_type is empty' end end,
                case when device_conn_type is null then case when regexp_matches(device_conn_type__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'device_conn_type is not a smallint' else 'device_conn_type is empty' end end,
                case when c14 is null then case when regexp_matches(c14__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c14 is not a integer' else 'c14 is empty' end end,
                case when c15 is null then case when regexp_matches(c15__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c15 is not a integer' else 'c15 is empty' end end,
                case when c16 is null then case when regexp_matches(c16__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c16 is not a integer' else 'c16 is empty' end end,
                case when c17 is null then case when regexp_matches(c17__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c17 is not a integer' else 'c17 is empty' end end,
                case when c18 is null then case when regexp_matches(c18__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c18 is not a integer' else 'c18 is empty' end end,
                case when c19 is null then case when regexp_matches(c19__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c19 is not a integer' else 'c19 is empty' end end,
                case when c20 is null then case when regexp_matches(c20__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c20 is not a integer' else 'c20 is empty' end end,
                case when c21 is null then case when regexp_matches(c21__text, '[^\pZ\t-\r\x{85}\x{200B}\x{FEFF}]') then 'c21 is not a integer' else 'c21 is empty' end end,
                case when click not in (0, 1) then 'click_is_zero_or_one' end,
                case when banner_pos < 0 then 'banner_pos_is_not_negative' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select id, _delivery from judged group by id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by id, _delivery, click, hour, c1, banner_pos, site_id, site_domain, site_category, app_id, app_domain, app_category, device_id, device_ip, device_model, device_type, device_conn_type, c14, c15, c16, c17, c18, c19, c20, c21 order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
