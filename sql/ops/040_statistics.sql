-- What the planner knows of columns, without any of their values. Rows lie in partitions, on which readers have no rights
-- of their own; this shows them the columns of ods and gold that they may read, and no others.

create or replace function ops.column_statistics()
returns table (schema_name text, table_name text, column_name text, missing_rate double precision, distinct_count double precision)
language sql stable security definer set search_path = pg_catalog
as $$
    select
        n.nspname::text,
        c.relname::text,
        s.attname::text,
        (sum(s.null_frac * p.reltuples) / nullif(sum(p.reltuples), 0))::double precision,
        -- Below zero it is a share of the rows. Partitions may share values: at least this many.
        max(case when s.n_distinct < 0 then -s.n_distinct * p.reltuples else s.n_distinct end)::double precision
    from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    inner join pg_inherits as i on i.inhparent = c.oid
    inner join pg_class as p on p.oid = i.inhrelid
    inner join pg_namespace as pn on pn.oid = p.relnamespace
    inner join pg_stats as s on s.schemaname = pn.nspname and s.tablename = p.relname
    -- By number and of one relation: the planner may ask before it joins, and a name that is none is an error.
    inner join pg_attribute as a on a.attrelid = c.oid and a.attname = s.attname
    where n.nspname in ('ods', 'gold') and p.reltuples > 0
        and has_column_privilege(session_user, a.attrelid, a.attnum, 'select')
    group by n.nspname, c.relname, s.attname
$$;
comment on function ops.column_statistics() is 'One row per column of ods and gold that has been analysed: share of missing values, number of different ones; estimates, no values.';
