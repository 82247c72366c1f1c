-- What people look at first.

create or replace view ops.last_publish as
select
    p.source,
    p.layer,
    p.table_name,
    p.partition_key,
    p.inserted_rows,
    p.updated_rows,
    p.deleted_rows,
    p.unchanged_rows,
    coalesce(a.read_rows, p.inserted_rows + p.updated_rows + p.unchanged_rows) as read_rows,
    coalesce(a.published_rows, p.inserted_rows + p.updated_rows + p.unchanged_rows) as published_rows,
    coalesce(a.quarantined_rows, 0) as quarantined_rows,
    coalesce(a.duplicate_rows, 0) as duplicate_rows,
    coalesce(a.conflicting_rows, 0) as conflicting_rows,
    p.verdict,
    p.published_at
from ops.publish as p
left join lateral (
    select
        sum(c.read_rows) as read_rows,
        sum(c.published_rows) as published_rows,
        sum(c.quarantined_rows) as quarantined_rows,
        sum(c.duplicate_rows) as duplicate_rows,
        sum(c.conflicting_rows) as conflicting_rows
    from ops.accounted as c
    where c.publish_id = p.publish_id
) as a on true
where p.is_current;
comment on view ops.last_publish is 'The newest publish of every table.';

create or replace view ops.open_partition as
with pending as (
    select
        b.source,
        'silver' as layer,
        b.partition_key,
        max(p.published_at) as since
    from ops.batch as b
    inner join ops.publish as p on b.bronze_publish_id = p.publish_id
    where b.bronze_publish_id is not null and b.silver_publish_id is null and b.superseded_by is null
    group by b.source, b.partition_key
    union all
    select
        p.source,
        'gold' as layer,
        p.partition_key,
        max(p.published_at) as since
    from ops.publish as p
    where
        p.layer = 'silver' and p.is_current
        and p.publish_id > coalesce((
            select t.publish_id
            from ops.run as r
            inner join ops.pinned_table as t on r.run_id = t.run_id
            where
                r.source = p.source and r.layer = 'gold' and r.status = 'published'
                and t.layer = 'silver' and t.table_name = p.table_name
            order by r.run_id desc limit 1
        ), 0)
    group by p.source, p.partition_key
    union all
    select
        r.source,
        r.layer,
        r.partition_key,
        r.planned_at as since
    from ops.run as r
    where r.layer = 'bronze' and r.status in ('planned', 'audited', 'blocked', 'overtaken')
)

select
    pending.source,
    pending.layer,
    pending.partition_key,
    case
        when tried.status in ('blocked', 'overtaken') then tried.status
        when tried.status is null then 'pending'
        when exists (
            select 1 from ops.turn as t
            where
                t.source = pending.source and t.layer = pending.layer
                and t.partition_key = pending.partition_key and t.is_held
        ) then 'working'
        else 'failed'
    end as status,
    tried.message,
    pending.since
from pending
-- The newest run of the partition, when it is open and has seen all that is pending.
left join lateral (
    select
        r.status,
        r.message
    from ops.run as r
    where
        r.source = pending.source and r.layer = pending.layer and r.partition_key = pending.partition_key
        and r.status in ('planned', 'audited', 'blocked', 'overtaken')
        and case r.layer
            when 'silver' then not exists (
                select 1 from ops.batch as b
                where
                    b.source = r.source and b.partition_key = r.partition_key and b.bronze_publish_id is not null
                    and b.silver_publish_id is null and b.superseded_by is null
                    and not exists (
                        select 1 from ops.pinned_batch as t
                        where t.run_id = r.run_id and t.batch_id = b.batch_id
                    )
            )
            when 'gold' then not exists (
                select 1 from ops.publish as p
                where
                    p.source = r.source and p.layer = 'silver' and p.is_current and p.partition_key = r.partition_key
                    and not exists (
                        select 1 from ops.pinned_table as t
                        where
                            t.run_id = r.run_id and t.layer = 'silver' and t.table_name = p.table_name
                            and t.publish_id >= p.publish_id
                    )
            )
            else true
        end
    order by r.run_id desc limit 1
) as tried on true;
comment on view ops.open_partition is 'One row per partition and layer that is not done. pending: nobody has tried. working. failed: a task was given up. blocked: by the gate. overtaken: another run published meanwhile.';

create or replace view ops.refused as
with refused as (
    select
        p.run_id,
        q.batch_id,
        true as is_published,
        q.source_line,
        q.reasons,
        q.record
    from ops.quarantine as q
    inner join ops.publish as p on q.publish_id = p.publish_id
    union all
    select
        -- A relation of the stage carries its run in its name.
        cast(substring(r.tableoid::regclass::text from '__(\d+)(?:_\d{8})?__refused$') as bigint) as run_id,
        r.batch_id,
        false as is_published,
        r.source_line,
        r.reasons,
        cast(r.record as jsonb) as record
    from ops.refused_stage as r
)

select
    b.source,
    b.table_name,
    b.partition_key,
    r.run_id,
    r.is_published,
    b.source_key,
    r.source_line,
    r.reasons,
    (
        select
            jsonb_object_agg(
                e.key, case when m.column_name is not null and e.value <> '""' then '"***"' else e.value end
            )
        from jsonb_each(r.record) as e
        left join ops.masked_column as m on b.table_name = m.table_name and e.key = m.column_name
    ) as record
from refused as r
inner join ops.batch as b on r.batch_id = b.batch_id;
comment on view ops.refused is 'Rows that row rules refused, of blocked runs (until the next try) and of published ones, personal columns masked.';
