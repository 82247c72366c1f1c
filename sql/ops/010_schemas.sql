-- The warehouse's schemas. Every file in this folder is applied in order of its number and is safe to repeat.
create schema if not exists raw;
create schema if not exists ods;
create schema if not exists gold;
create schema if not exists ops;
create schema if not exists stage;
create schema if not exists masked;
create schema if not exists lake;
comment on schema lake is 'The lake''s catalog as far as analysts may see it: point an Iceberg client here.';
comment on schema raw is 'Files as landed, all text, one partition per batch.';
comment on schema ods is 'Typed, keyed, deduplicated; one row per key.';
comment on schema gold is 'The star and the marts.';
comment on schema ops is 'Ledger, quarantine, quality history.';
comment on schema stage is 'Rows that wait for the gate, one table per table and run. Nothing here is for readers.';
comment on schema masked is 'Tables with personal data, personal columns masked.';
