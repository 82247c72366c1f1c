-- What nobody but the loader may do in a warehouse. Run by the superuser in the warehouse's database, at every start.
do $$
declare
    closed regprocedure;
    own constant text := current_database();
begin
    execute format('revoke all on database %I from public', own);
    execute format('revoke all on database %I from lakehouse_analyst, lakehouse_monitor', own);
    execute format('grant connect on database %I to lakehouse_analyst, lakehouse_monitor', own);
    -- A publish takes advisory locks: whoever may take them could stop it. Large objects and messages are ways to
    -- write for those who may only read.
    for closed in
        select p.oid::regprocedure from pg_proc as p
        where
            p.pronamespace = 'pg_catalog'::regnamespace and (
                p.proname ~ '^pg_(try_)?advisory_' or p.proname ~ '^lo_(creat|create|from_bytea|open|put)$'
                or p.proname in ('lowrite', 'pg_logical_emit_message', 'pg_notify')
            )
    loop
        execute format('revoke execute on function %s from public', closed);
        execute format('grant execute on function %s to lakehouse_loader', closed);
    end loop;
end;
$$;
revoke all on schema public from public;
grant all on schema public to lakehouse_loader;
-- What the loader will make later is closed too until it says otherwise.
alter default privileges for role lakehouse_loader revoke execute on functions from public;
alter default privileges for role lakehouse_loader revoke usage on types from public;
