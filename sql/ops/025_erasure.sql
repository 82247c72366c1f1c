-- Persons who were erased. Nobody but the loader reads the first two: together they tell whether an id is on the list.

create table if not exists ops.erasure_key (
    only_one boolean primary key default true check (only_one),
    secret_key bytea not null
);
comment on table ops.erasure_key is 'The key of the hashes in ops.erased and of pseudonyms, made by the first erasure. Lies beside the list because neither is of use alone: without the key, who was erased would come back.';

create table if not exists ops.erased (
    source text not null,
    table_name text not null,
    column_name text not null,
    match text not null,
    primary key (source, table_name, column_name, match)
);
comment on table ops.erased is 'One row per value that leads to an erased person: keyed hashes of the ids of persons, and of the rows that lead to them. Rows with these values lose their personal columns wherever a file is parsed.';

create table if not exists ops.erasure (
    erasure_id bigint generated always as identity primary key,
    source text not null,
    reference text not null default '',
    requested_by text not null default current_user,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    reruns jsonb not null default '{}',
    touched jsonb not null default '{}'
);
create unique index if not exists erasure_open_idx on ops.erasure (source) where finished_at is null;
comment on table ops.erasure is 'One row per erasure: when, for which request, what was touched. Never whose.';
comment on column ops.erasure.reference is 'Of the request, as a person gave it: a ticket, never an id.';
comment on column ops.erasure.reruns is 'Layer → partitions whose runs were open when it began: what they staged is made again.';
comment on column ops.erasure.touched is 'Place → rows, files or objects that were rewritten or deleted there.';

alter table ops.batch add column if not exists landing_key text;
alter table ops.batch add column if not exists landing_hash text;
comment on column ops.batch.landing_key is 'Where the landed file is now, when rows of erased persons were taken out of it; else null.';
comment on column ops.batch.landing_hash is 'Hash of that file''s content. source_key and source_hash stay what was delivered: they identify the batch.';
