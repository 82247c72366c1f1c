-- Compiled from contracts/olist/sellers.yaml by `make generate`. Do not edit.
with landed as not materialized (
    select
        case when unicode(seller_id) between 33 and 126 and unicode(reverse(seller_id)) between 33 and 126 then seller_id else nullif(regexp_replace(seller_id, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as seller_id,
        case when unicode(seller_zip_code_prefix) between 33 and 126 and unicode(reverse(seller_zip_code_prefix)) between 33 and 126 then seller_zip_code_prefix else nullif(regexp_replace(seller_zip_code_prefix, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as zip_code_prefix,
        case when unicode(seller_city) between 33 and 126 and unicode(reverse(seller_city)) between 33 and 126 then seller_city else nullif(regexp_replace(seller_city, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as city,
        case when unicode(seller_state) between 33 and 126 and unicode(reverse(seller_state)) between 33 and 126 then seller_state else nullif(regexp_replace(seller_state, '^[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+|[\pZ\t-\r\x{85}\x{200B}\x{FEFF}]+$', '', 'g'), '') end as state,
        _batch_id,
        _source_line,
        _delivery
    from raw_input
),
typed as not materialized (
    select
        seller_id,
        zip_code_prefix,
        city,
        state,
        _batch_id,
        _source_line,
        _delivery
    from landed
),
judged as not materialized (
    select
        seller_id,
        zip_code_prefix,
        city,
        state,
        _batch_id,
        _source_line,
        _delivery,
        case
            when
                seller_id is null or
                zip_code_prefix is null or
                city is null or
                state is null or
                not regexp_matches(seller_id, '^[0-9a-f]{32}$') or
                not regexp_matches(zip_code_prefix, '^[0-9]{5}$') or
                state not in ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO')
            then concat_ws(
                ', ',
                case when seller_id is null then 'seller_id is empty' end,
                case when zip_code_prefix is null then 'zip_code_prefix is empty' end,
                case when city is null then 'city is empty' end,
                case when state is null then 'state is empty' end,
                case when not regexp_matches(seller_id, '^[0-9a-f]{32}$') then 'seller_id_is_a_hash' end,
                case when not regexp_matches(zip_code_prefix, '^[0-9]{5}$') then 'zip_code_prefix_has_five_digits' end,
                case when state not in ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO') then 'state_is_brazilian' end
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select seller_id, _delivery from judged group by seller_id, _delivery having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by seller_id, _delivery order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by seller_id, _delivery, zip_code_prefix, city, state order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using (seller_id, _delivery)
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
