-- What people look at first.

create or replace view ops.last_publish as
select distinct on (p.table_name, p.layer)
    p.source,
    p.layer,
    p.table_name,
    p.partition_key,
    p.read_rows,
    p.published_rows,
    p.quarantined_rows,
    p.duplicate_rows,
    p.inserted_rows,
    p.updated_rows,
    p.deleted_rows,
    p.unchanged_rows,
    p.verdict,
    p.published_at
from ops.publish as p
where p.status = 'published'
order by p.table_name, p.layer, p.publish_id desc;
comment on view ops.last_publish is 'The newest publish of every table.';
