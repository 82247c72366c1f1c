-- What monitoring looks at: one view per kind of figure, each of a few rows, and samples of what nobody else remembers.
-- `lakehouse metrics` shows the views to Prometheus, `lakehouse advise` and the dashboard read them too. They hold
-- counts, times and names, and no value of any file. Times are seconds since 1970, as Prometheus has them, where the
-- name ends in _timestamp.

alter table ops.lake_file add column if not exists size_bytes bigint;
comment on column ops.lake_file.size_bytes is 'Of the object, as the store says; known of data files, not of Iceberg''s metadata and masked copies.';

-- Only the last weeks are looked at, however long the history is.
create index if not exists run_planned_idx on ops.run (planned_at);
create index if not exists publish_published_at_idx on ops.publish (published_at) where published_at is not null;
create index if not exists publish_staged_at_idx on ops.publish (staged_at) where staged_at is not null;

create or replace view ops.metric_delivery as
select
    b.source,
    extract(epoch from max(b.landed_at))::double precision as landed_timestamp,
    count(*) as batch_count,
    sum(b.size_bytes)::double precision as landed_bytes
from ops.batch as b
group by b.source;
comment on view ops.metric_delivery is 'One row per source: when its newest delivery that a run has seen was landed, files and bytes of all of them.';

create or replace view ops.metric_table as
select
    p.source,
    p.layer,
    p.table_name,
    p.partition_key,
    coalesce(p.verdict, 'none') as verdict,
    extract(epoch from p.published_at)::double precision as published_timestamp
from ops.publish as p
where p.is_current;
comment on view ops.metric_table is 'One row per table: its newest publish, which partition it was for, and its verdict.';

create or replace view ops.metric_open as
with known as (
    select distinct p.source, p.layer from ops.publish as p where p.is_current
),

found as (
    select
        o.source,
        o.layer,
        o.status,
        count(*) as partition_count,
        extract(epoch from min(o.since))::double precision as oldest_timestamp
    from ops.open_partition as o
    group by o.source, o.layer, o.status
)

select
    source,
    layer,
    status,
    coalesce(found.partition_count, 0) as partition_count,
    found.oldest_timestamp
from (
    select known.source, known.layer, s.status
    from known
    cross join (values ('pending'), ('working'), ('failed'), ('blocked'), ('overtaken')) as s (status)
) as grid
full join found using (source, layer, status);
comment on view ops.metric_open is 'One row per source, layer and status: partitions that are not done, none included, and since when the oldest is not.';

create or replace view ops.metric_rows_daily as
select
    p.published_at::date as published_date,
    p.source,
    p.layer,
    p.table_name,
    sum(a.read_rows)::bigint as read_rows,
    sum(a.published_rows)::bigint as published_rows,
    sum(a.quarantined_rows)::bigint as quarantined_rows,
    sum(a.duplicate_rows)::bigint as duplicate_rows,
    sum(a.conflicting_rows)::bigint as conflicting_rows
from ops.publish as p
inner join ops.accounted as a on p.publish_id = a.publish_id
where a.is_published and p.published_at > now() - interval '31 days'
group by p.published_at::date, p.source, p.layer, p.table_name;
comment on view ops.metric_rows_daily is 'One row per day (UTC) of publish and table, of the last 31 days: what became of the rows of its batches.';

create or replace view ops.metric_rows as
select
    p.source,
    p.layer,
    p.table_name,
    case when p.published_at > now() - interval '1 day' then 'day' else 'before' end as period,
    sum(a.read_rows)::double precision as read_rows,
    sum(a.published_rows)::double precision as published_rows,
    sum(a.quarantined_rows)::double precision as quarantined_rows,
    sum(a.duplicate_rows)::double precision as duplicate_rows,
    sum(a.conflicting_rows)::double precision as conflicting_rows,
    (sum(a.quarantined_rows) / nullif(sum(a.read_rows), 0))::double precision as quarantined_ratio
from ops.publish as p
inner join ops.accounted as a on p.publish_id = a.publish_id
where a.is_published and p.published_at > now() - interval '31 days'
group by p.source, p.layer, p.table_name, period;
comment on view ops.metric_rows is 'One row per table and period, the last 24 hours (day) and the 30 days before them: what became of the rows.';

create or replace view ops.metric_run as
select
    r.run_id,
    r.source,
    r.layer,
    r.partition_key,
    r.status,
    r.verdict,
    r.planned_at,
    r.ended_at,
    extract(epoch from s.staged_at - r.planned_at)::double precision as stage_seconds,
    extract(epoch from r.audited_at - s.staged_at)::double precision as gate_seconds,
    extract(epoch from r.ended_at - r.audited_at)::double precision as publish_seconds
from ops.run as r
left join lateral (
    select max(p.staged_at) as staged_at from ops.publish as p where p.run_id = r.run_id
) as s on true
where r.planned_at > now() - interval '31 days';
comment on view ops.metric_run is 'One row per run of the last 31 days: its state, and how long its steps took, waiting between them included.';

create or replace view ops.metric_step as
select
    m.source,
    m.layer,
    s.step,
    s.seconds
from (
    select distinct on (r.source, r.layer) r.*
    from ops.metric_run as r
    where r.status = 'published'
    order by r.source, r.layer, r.run_id desc
) as m
cross join lateral (
    values ('stage', m.stage_seconds), ('gate', m.gate_seconds), ('publish', m.publish_seconds)
) as s (step, seconds)
where s.seconds is not null;
comment on view ops.metric_step is 'One row per source, layer and step: how long it took in the newest run that has published.';

create or replace view ops.metric_rule as
select
    q.source,
    q.layer,
    q.severity,
    count(*) as checked_count,
    count(*) filter (where not q.passed) as failed_count
from ops.quality_result as q
inner join (
    select distinct on (r.source, r.layer) r.run_id
    from ops.run as r
    where r.audited_at is not null and r.planned_at > now() - interval '31 days'
    order by r.source, r.layer, r.run_id desc
) as newest on q.run_id = newest.run_id
group by q.source, q.layer, q.severity;
comment on view ops.metric_rule is 'One row per source, layer and severity: rules checked and broken in the newest run that a gate has judged.';

create or replace view ops.metric_size as
select
    'warehouse' as home,
    n.nspname::text as part,
    sum(pg_total_relation_size(c.oid))::double precision as bytes
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'm') and n.nspname in ('raw', 'ods', 'gold', 'ops', 'stage')
group by n.nspname
union all
select
    'lake' as home,
    f.layer as part,
    sum(f.size_bytes)::double precision as bytes
from ops.lake_file as f
where f.size_bytes is not null
group by f.layer
union all
select
    'landing' as home,
    d.source as part,
    d.landed_bytes as bytes
from ops.metric_delivery as d;
comment on view ops.metric_size is 'One row per home and part: bytes. Warehouse: by schema, with indexes. Lake: data files by layer, replaced ones until they are deleted. Landing: files that a run has seen.';

create or replace view ops.metric_session as
select
    s.usename::text as role,
    count(*) as session_count,
    -- Whoever is within a statement or a transaction holds a lock on its own virtual id, which everybody may see.
    count(*) filter (where exists (
        select 1 from pg_locks as l where l.pid = s.pid and l.locktype = 'virtualxid' and l.granted
    )) as active_count
from pg_stat_activity as s
where s.datname = current_database() and s.pid <> pg_backend_pid() and s.usename is not null
group by s.usename;
comment on view ops.metric_session is 'One row per role that is connected to the warehouse: its sessions, and how many of them are asking something now.';

create table if not exists ops.measurement (
    measure text not null,
    measured_at timestamptz not null default clock_timestamp(),
    value double precision not null,
    primary key (measure, measured_at)
);
comment on table ops.measurement is 'One row per figure and moment, of the last 90 days: reader_sessions, readers_active, warehouse_bytes, lake_bytes, kpi_p95_seconds.';

create or replace function ops.take_sample() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
begin
    -- Several may ask, often; every five minutes is enough.
    if exists (
        select from ops.measurement
        where measure = 'warehouse_bytes' and measured_at > clock_timestamp() - interval '5 minutes'
    ) then
        return false;
    end if;
    insert into ops.measurement (measure, value)
    select 'warehouse_bytes', sum(bytes) from ops.metric_size where home = 'warehouse'
    union all
    select 'lake_bytes', coalesce(sum(bytes), 0) from ops.metric_size where home = 'lake'
    union all
    select 'reader_sessions', coalesce(sum(session_count), 0) from ops.metric_session where role = 'lakehouse_analyst'
    union all
    select 'readers_active', coalesce(sum(active_count), 0) from ops.metric_session where role = 'lakehouse_analyst';
    delete from ops.measurement where measured_at < clock_timestamp() - interval '90 days';
    return true;
end;
$$;
comment on function ops.take_sample() is 'Write down sizes and readers of this moment, unless that was done in the last five minutes; whether it was.';

create or replace view ops.metric_growth as
select
    m.measure,
    count(*) as sample_count,
    min(m.measured_at) as first_at,
    max(m.measured_at) as last_at,
    -- Least squares: a table that is rewritten for an hour does not make a trend.
    regr_slope(m.value, extract(epoch from m.measured_at)::double precision) * 86400 as per_day
from ops.measurement as m
where m.measure in ('warehouse_bytes', 'lake_bytes') and m.measured_at > now() - interval '30 days'
group by m.measure;
comment on view ops.metric_growth is 'One row per home that grows: the slope of the last 30 days'' samples, in bytes a day.';

create or replace view ops.metric_workload as
with days as (
    select least(7.0, greatest(1.0, extract(epoch from now() - min(p.staged_at)) / 86400)) as day_count
    from ops.publish as p
    where p.staged_at > now() - interval '7 days'
)
select
    (
        select count(*) from ops.publish as p where p.staged_at > now() - interval '7 days'
    )::double precision / days.day_count as queries_per_day,
    (
        select percentile_disc(0.95) within group (order by m.value)
        from ops.measurement as m
        where m.measure = 'readers_active' and m.measured_at > now() - interval '7 days'
    ) as readers_active_p95,
    (
        select max(m.value) from ops.measurement as m
        where m.measure = 'readers_active' and m.measured_at > now() - interval '7 days'
    ) as readers_active_max,
    (
        select count(*) from ops.measurement as m
        where m.measure = 'readers_active' and m.measured_at > now() - interval '7 days'
    ) as sample_count
from days;
comment on view ops.metric_workload is 'One row, of the last seven days: tables that runs computed per day (each is one query), and readers who were asking at the moments of the samples.';
