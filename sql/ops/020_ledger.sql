-- What arrived, how far it got, how many rows at each hop.

create table if not exists ops.batch (
    batch_id uuid primary key,
    source text not null,
    table_name text not null,
    partition_key date not null,
    source_key text not null,
    source_hash text not null,
    size_bytes bigint not null,
    landed_at timestamptz not null,
    superseded_by uuid references ops.batch (batch_id)
);
create index if not exists batch_table_name_idx on ops.batch (table_name, partition_key);
comment on table ops.batch is 'One row per file of a delivery that bronze has published. batch_id is a UUIDv5 of source, table, object key and content hash.';
comment on column ops.batch.superseded_by is 'The batch that replaced this one: the same key was delivered again with other bytes.';

create table if not exists ops.publish (
    publish_id bigint generated always as identity primary key,
    source text not null,
    layer text not null check (layer in ('bronze', 'silver', 'gold')),
    table_name text not null,
    partition_key date not null,
    run_partition_key date not null,
    batch_id uuid,
    lead_publish_id bigint,
    mode text not null,
    status text not null default 'planned'
        check (status in ('planned', 'staged', 'blocked', 'published', 'abandoned')),
    base_publish_id bigint,
    read_rows bigint,
    published_rows bigint,
    quarantined_rows bigint,
    duplicate_rows bigint,
    inserted_rows bigint,
    updated_rows bigint,
    deleted_rows bigint,
    unchanged_rows bigint,
    verdict text,
    message text,
    consumed_by bigint,
    fingerprint text,
    details jsonb not null default '{}',
    planned_at timestamptz not null default clock_timestamp(),
    staged_at timestamptz,
    published_at timestamptz,
    constraint every_row_is_accounted_for check (
        status <> 'published' or read_rows = published_rows + quarantined_rows + duplicate_rows
    )
);
create index if not exists publish_target_idx on ops.publish (layer, table_name, status, partition_key);
create index if not exists publish_pending_idx on ops.publish (source, layer) where consumed_by is null;
comment on table ops.publish is 'One row per attempt to bring one batch (gold: one table) through one hop; a published row is the truth about what readers see.';
comment on column ops.publish.run_partition_key is 'The partition whose run carries this hop; differs from partition_key when a run catches up on a missed event.';
comment on column ops.publish.lead_publish_id is 'The publish whose id the written rows carry; differs from publish_id when several batches were merged at once.';
comment on column ops.publish.base_publish_id is 'The newest publish of the table when these rows were staged; publishing on another base is refused.';
comment on column ops.publish.consumed_by is 'The publish of the next layer that took these rows up; null means they are pending.';
comment on column ops.publish.published_rows is 'Rows that made it through, changed or not: inserted + updated + unchanged rows of this batch.';

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

create table if not exists ops.quality_result (
    quality_result_id bigint generated always as identity primary key,
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
create index if not exists quality_result_run_idx
on ops.quality_result (source, layer, partition_key, checked_at);
comment on table ops.quality_result is 'The outcome of every rule of every gate, of blocked runs too.';

create table if not exists ops.preimage (
    publish_id bigint not null references ops.publish (publish_id),
    table_name text not null,
    record jsonb not null
);
create index if not exists preimage_table_name_idx on ops.preimage (table_name, publish_id);
comment on table ops.preimage is 'ODS rows as they were before a publish updated or deleted them; gold needs them to know what else changed, and deletes them when it has.';

create table if not exists ops.staged_file (
    uri text primary key,
    publish_id bigint not null,
    recorded_at timestamptz not null default clock_timestamp()
);
comment on table ops.staged_file is 'Lake files written but not yet published; recorded before the write, so that a killed task leaves nothing unknown.';

create table if not exists ops.setting (
    name text primary key,
    value text not null
);
comment on table ops.setting is 'What the warehouse remembers about itself, such as the fingerprint of the contracts it was built from.';

create unlogged table if not exists stage.agreement (
    source text not null,
    layer text not null,
    publish_id bigint not null,
    table_name text not null,
    column_name text not null,
    warehouse_value text,
    lake_value text
);
comment on table stage.agreement is 'Row counts and column checksums of staged rows in both homes.';

create unlogged table if not exists stage.query (
    source text not null,
    table_name text not null,
    query text not null,
    primary key (table_name)
);
comment on table stage.query is 'The gold queries of the running plan, their relations resolved.';
