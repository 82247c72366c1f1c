-- What arrived, how far it got, how many rows at each hop. Each table has one grain:
--   batch (a file of a delivery), run (a layer made for a partition), publish (a table made by a run),
--   accounted (a batch at a hop), lake_file (a file of the lake).

create table if not exists ops.run (
    run_id bigint generated always as identity primary key,
    source text not null,
    layer text not null check (layer in ('bronze', 'silver', 'gold')),
    partition_key date not null,
    status text not null default 'planned'
    check (status in ('planned', 'audited', 'published', 'blocked', 'overtaken', 'abandoned')),
    verdict text check (verdict in ('passed', 'warned', 'blocked')),
    message text,
    planned_at timestamptz not null default clock_timestamp(),
    audited_at timestamptz,
    ended_at timestamptz
);
create unique index if not exists run_open_idx on ops.run (source, layer, partition_key) where status in ('planned', 'audited');
create index if not exists run_partition_idx on ops.run (source, layer, partition_key, run_id);
create index if not exists run_unsettled_idx on ops.run (source, layer, partition_key) where status in ('planned', 'audited', 'blocked', 'overtaken');
create index if not exists run_published_idx on ops.run (source, layer, run_id) where status = 'published';
comment on table ops.run is 'One row per attempt to make a layer for a partition. What it reads is pinned when it is planned.';
alter table ops.run add column if not exists report jsonb;
comment on column ops.run.report is 'What the gate has found, as the task''s log shows it: causes, rules that did not hold, rows per table.';
comment on column ops.run.status is 'planned: being staged. audited: passed the gate. published. blocked: a hard rule was broken. overtaken: another run published meanwhile. abandoned: planned anew, or settled by others.';

create table if not exists ops.publish (
    publish_id bigint generated always as identity primary key,
    run_id bigint not null references ops.run (run_id),
    source text not null,
    layer text not null,
    table_name text not null,
    partition_key date not null,
    mode text not null check (mode in ('batch', 'revive', 'withdraw', 'upsert', 'partition', 'rework', 'rebuild', 'affected', 'full', 'retire', 'compact', 'rewrite')),
    status text not null default 'planned' check (status in ('planned', 'staged', 'published', 'closed')),
    is_current boolean not null default false,
    base_publish_id bigint references ops.publish (publish_id),
    fingerprint text,
    attempt uuid,
    placement text check (placement in ('attach', 'merge', 'none')),
    replaced_files text[] not null default '{}',
    inserted_rows bigint,
    updated_rows bigint,
    deleted_rows bigint,
    unchanged_rows bigint,
    carried_rows bigint,
    verdict text,
    message text,
    snapshot_id bigint,
    planned_at timestamptz not null default clock_timestamp(),
    staged_at timestamptz,
    published_at timestamptz
);
create index if not exists publish_run_idx on ops.publish (run_id, table_name);
create unique index if not exists publish_current_idx on ops.publish (layer, table_name) where is_current;
create index if not exists publish_published_idx on ops.publish (layer, table_name, publish_id) where status = 'published';
comment on table ops.publish is 'One row per table and run: the attempt to publish it. Published rows carry its id in _publish_id.';
-- Warehouses of before.
alter table ops.publish drop constraint if exists publish_mode_check;
alter table ops.publish add constraint publish_mode_check
check (mode in ('batch', 'revive', 'withdraw', 'upsert', 'partition', 'rework', 'rebuild', 'affected', 'full', 'retire', 'compact', 'rewrite'));
comment on column ops.publish.mode is 'What is made of the table; retire and compact are maintenance: rows past their retention go, small files become one. rewrite: a stored batch once more, without erased persons.';
comment on column ops.publish.fingerprint is 'Silver and gold: of the query that makes the table. Bronze: the kind of the batch, as planned.';
comment on column ops.publish.is_current is 'Readers see this state of the table.';
comment on column ops.publish.base_publish_id is 'The state the difference was made to; publishing on another is refused.';
comment on column ops.publish.attempt is 'The try that stages the table now; what an earlier try brings later is refused.';
comment on column ops.publish.placement is 'How rows enter the warehouse: attach (they are the whole table or partition), merge, or none.';
comment on column ops.publish.replaced_files is 'Lake files that this publish takes out of the table.';
comment on column ops.publish.carried_rows is 'Unchanged rows that lay in a lake file with changed ones and were written to a new file with it.';
comment on column ops.publish.snapshot_id is 'The Iceberg snapshot that readers of the lake see since.';

create table if not exists ops.batch (
    batch_id uuid primary key,
    source text not null,
    table_name text not null,
    partition_key date not null,
    source_key text not null,
    source_hash text not null,
    size_bytes bigint not null,
    landed_at timestamptz not null,
    bronze_publish_id bigint references ops.publish (publish_id),
    silver_publish_id bigint references ops.publish (publish_id),
    superseded_by uuid references ops.batch (batch_id),
    kind text not null check (kind in ('full', 'increment')),
    allow_shrink boolean not null default false,
    retired_at timestamptz
);
-- Warehouses of before.
alter table ops.batch add column if not exists retired_at timestamptz;
alter table ops.batch add column if not exists handed_over_count bigint not null default 0;
comment on column ops.batch.handed_over_count is 'How often bronze has handed the batch to silver. A count, because clocks may jump.';
create index if not exists batch_table_idx on ops.batch (table_name, partition_key);
create index if not exists batch_pending_idx on ops.batch (source, partition_key) where bronze_publish_id is not null and silver_publish_id is null and superseded_by is null;
comment on table ops.batch is 'One row per file of a delivery that a run has seen. batch_id is a UUIDv5 of source, table, object key and content hash.';
comment on column ops.batch.bronze_publish_id is 'The publish that brought the batch to bronze; null until then.';
comment on column ops.batch.silver_publish_id is 'The publish that took the batch to silver; null while it is pending.';
comment on column ops.batch.kind is 'full: complete, what it lacks is gone. increment: new and changed rows only. As the manifest said when bronze published the batch.';
comment on column ops.batch.allow_shrink is 'Whoever landed it said that it may have far fewer rows than the batch it supersedes.';
comment on column ops.batch.retired_at is 'Since then its rows are in neither RAW nor bronze: the retention of the contract has passed, and silver does not need them. Of events silver''s rows went with them.';
comment on column ops.batch.superseded_by is 'The batch that replaced this one: the same key was delivered again with other bytes.';

create table if not exists ops.accounted (
    publish_id bigint not null references ops.publish (publish_id),
    batch_id uuid not null,
    table_name text not null,
    read_rows bigint,
    published_rows bigint,
    quarantined_rows bigint,
    duplicate_rows bigint,
    conflicting_rows bigint,
    is_published boolean not null default false,
    primary key (publish_id, batch_id),
    constraint every_row_is_accounted_for check (
        not is_published or coalesce(read_rows = published_rows + quarantined_rows + duplicate_rows + conflicting_rows, false)
    )
);
comment on table ops.accounted is 'One row per batch and hop: what became of the rows that were read. Counted when staged, true once published.';
comment on column ops.accounted.duplicate_rows is 'They say what another row of the same key in the same batch says.';
comment on column ops.accounted.conflicting_rows is 'They say something else than the row that won their key in the same batch.';

create table if not exists ops.pinned_table (
    run_id bigint not null references ops.run (run_id),
    layer text not null,
    table_name text not null,
    publish_id bigint not null,
    since_publish_id bigint,
    snapshot_id bigint,
    primary key (run_id, layer, table_name)
);
comment on table ops.pinned_table is 'One row per table that a run may read: the state it reads, whatever others publish meanwhile.';
comment on column ops.pinned_table.since_publish_id is 'The state that the previous run of this layer has seen; what changed since is to be taken up.';

create table if not exists ops.pinned_batch (
    run_id bigint not null references ops.run (run_id),
    batch_id uuid not null references ops.batch (batch_id),
    role text not null check (role in ('new', 'served', 'gone')),
    primary key (run_id, batch_id)
);
alter table ops.pinned_batch add column if not exists handed_over_count bigint not null default 0;
comment on table ops.pinned_batch is 'One row per batch that a silver run reads.';
comment on column ops.pinned_batch.handed_over_count is 'What ops.batch had when the run was planned: when it has more at the end, silver has to look at the batch again.';
comment on column ops.pinned_batch.role is 'new: taken up. served: taken up before, and read again for keys that changed. gone: superseded or withdrawn since it was taken up; its keys are worked out anew.';

create table if not exists ops.lake_file (
    uri text primary key,
    layer text not null,
    table_name text not null,
    publish_id bigint not null,
    kind text not null check (kind in ('changed', 'carried', 'result', 'unit', 'metadata', 'masked')),
    status text not null default 'staged' check (status in ('staged', 'live', 'replaced')),
    batch_id uuid,
    partition_key date,
    row_count bigint,
    etag text,
    sequence_number bigint,
    replaced_by bigint,
    recorded_at timestamptz not null default clock_timestamp()
);
create index if not exists lake_file_table_idx on ops.lake_file (layer, table_name, replaced_by);
create index if not exists lake_file_publish_idx on ops.lake_file (publish_id);
create index if not exists lake_file_batch_idx on ops.lake_file (batch_id) where batch_id is not null;
create index if not exists lake_file_staged_idx on ops.lake_file (recorded_at) where status = 'staged';
comment on table ops.lake_file is 'One row per object of the lake, recorded before it is written: nothing a killed task leaves behind is unknown.';
comment on column ops.lake_file.kind is 'changed: rows this publish wrote. carried: unchanged rows out of a replaced file. result, unit: for the audit and the run only. metadata: of Iceberg. masked: a copy for readers, personal columns masked.';
-- Warehouses of before.
alter table ops.lake_file drop constraint if exists lake_file_kind_check;
alter table ops.lake_file add constraint lake_file_kind_check
check (kind in ('changed', 'carried', 'result', 'unit', 'metadata', 'masked'));
comment on column ops.lake_file.sequence_number is 'Of the Iceberg snapshot that added the file.';
comment on column ops.lake_file.replaced_by is 'The publish since which the file is not read any more.';

create table if not exists ops.quarantine (
    publish_id bigint not null references ops.publish (publish_id),
    table_name text not null,
    batch_id uuid not null,
    source_line bigint not null,
    reasons text not null,
    record jsonb not null,
    primary key (publish_id, batch_id, source_line)
);
comment on table ops.quarantine is 'Rows that a row rule refused, as landed, with the reasons.';

create table if not exists ops.refused_stage (
    batch_id uuid,
    source_line bigint,
    reasons text,
    record text
);
comment on table ops.refused_stage is 'Empty. Refused rows of blocked runs are tables of the stage that inherit from it, until the next try.';

create table if not exists ops.masked_column (
    table_name text not null,
    column_name text not null,
    primary key (table_name, column_name)
);
comment on table ops.masked_column is 'The personal columns of landed tables, by their names in the files; from the contracts.';

create table if not exists ops.quality_result (
    quality_result_id bigint generated always as identity primary key,
    run_id bigint not null references ops.run (run_id),
    source text not null,
    layer text not null,
    partition_key date not null,
    table_name text not null,
    rule text not null,
    severity text not null,
    passed boolean not null,
    checked_rows bigint,
    failed_rows bigint,
    sample_keys text[] not null default '{}',
    description text not null default '',
    verdict text not null,
    checked_at timestamptz not null default clock_timestamp()
);
create index if not exists quality_result_run_idx on ops.quality_result (run_id);
comment on table ops.quality_result is 'The outcome of every rule of every gate, of blocked runs too.';

create table if not exists ops.agreement (
    publish_id bigint not null references ops.publish (publish_id),
    part text not null check (part in ('changed', 'carried')),
    warehouse_rows bigint,
    lake_rows bigint,
    warehouse_hash text,
    lake_hash text,
    primary key (publish_id, part)
);
comment on table ops.agreement is 'One row per publish and part: rows and summed row hashes, read back from both homes. Of carried rows: before and after.';

create table if not exists ops.turn (
    source text not null,
    layer text not null,
    orchestrator_run text not null,
    partition_key date not null,
    is_held boolean not null default false,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (source, layer, orchestrator_run)
);
comment on table ops.turn is 'One row per orchestrator run that works on a layer (is_held) or waits for that.';

create table if not exists ops.setting (
    name text primary key,
    value text not null
);
comment on table ops.setting is 'What the warehouse remembers about itself, such as the fingerprint of the contracts it was built from.';
