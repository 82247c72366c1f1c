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
    p.verdict,
    p.published_at
from ops.publish as p
left join lateral (
    select
        sum(c.read_rows) as read_rows,
        sum(c.published_rows) as published_rows,
        sum(c.quarantined_rows) as quarantined_rows,
        sum(c.duplicate_rows) as duplicate_rows
    from ops.accounted as c
    where c.publish_id = p.publish_id
) as a on true
where p.is_current;
comment on view ops.last_publish is 'The newest publish of every table.';

create or replace view ops.open_partition as
with latest as (
    select distinct on (r.source, r.layer, r.partition_key)
        r.source,
        r.layer,
        r.partition_key,
        r.status,
        r.message,
        r.planned_at
    from ops.run as r
    where r.status <> 'published'
    order by r.source, r.layer, r.partition_key, r.run_id desc
),

pending as (
    select distinct
        b.source,
        'silver' as layer,
        b.partition_key
    from ops.batch as b
    where b.bronze_publish_id is not null and b.silver_publish_id is null and b.superseded_by is null
    union
    select distinct
        p.source,
        'gold' as layer,
        p.partition_key
    from ops.publish as p
    where
        p.layer = 'silver' and p.is_current
        and p.publish_id > coalesce((
            select t.publish_id
            from ops.pinned_table as t
            inner join ops.run as r on t.run_id = r.run_id
            where
                r.source = p.source and r.layer = 'gold' and r.status = 'published'
                and t.layer = 'silver' and t.table_name = p.table_name
            order by r.run_id desc limit 1
        ), 0)
    union
    select
        latest.source,
        latest.layer,
        latest.partition_key
    from latest
    where
        latest.layer = 'bronze'
        and not exists (
            select 1 from ops.run as r
            where
                r.source = latest.source and r.layer = 'bronze'
                and r.partition_key = latest.partition_key and r.status = 'published' and r.planned_at > latest.planned_at
        )
)

select
    pending.source,
    pending.layer,
    pending.partition_key,
    case when latest.status in ('blocked', 'overtaken') then latest.status else 'pending' end as status,
    latest.message
from pending
left join latest
    on
        pending.source = latest.source
        and pending.layer = latest.layer
        and pending.partition_key = latest.partition_key;
comment on view ops.open_partition is 'One row per partition and layer that is not done: blocked by the gate, overtaken, or pending.';
