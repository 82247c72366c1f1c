-- The login roles, what each may be and what limits it. Run by the superuser, in the database postgres, at every start:
-- whatever the roles were changed to meanwhile, this restores. Passwords are set by whoever runs it, who then calls
-- guard.remember().
--
-- PostgreSQL lets every role change its own password and lift its own time limits. That cannot be forbidden, so it is
-- undone: guard.enforce(), called every few seconds as lakehouse_guard, is all of the superuser's power that runs
-- beside the warehouse, and it takes no arguments.

revoke all on database postgres, template1 from public;

do $$
declare
    wanted text;
begin
    foreach wanted in array array['lakehouse_loader', 'lakehouse_analyst', 'lakehouse_monitor', 'lakehouse_guard', 'airflow'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I', wanted);
        end if;
    end loop;
end;
$$;

grant connect on database postgres to lakehouse_guard;
create schema if not exists guard;
revoke all on schema guard from public;
grant usage on schema guard to lakehouse_guard;

create table if not exists guard.login (
    role name primary key,
    verifier text,
    settings text[]
);
comment on table guard.login is 'Roles as they are defined: the verifier of the password, and the settings.';

create or replace function guard.restore() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    found record;
    ours constant name[] := array['lakehouse_loader', 'lakehouse_analyst', 'lakehouse_monitor', 'lakehouse_guard', 'airflow'];
begin
    -- The loader owns the warehouse, airflow its own database; nobody here is anybody else's superior.
    alter role lakehouse_loader login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
    connection limit -1 valid until 'infinity';
    alter role lakehouse_analyst login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
    connection limit 40 valid until 'infinity';
    alter role lakehouse_monitor login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
    connection limit 8 valid until 'infinity';
    alter role lakehouse_guard login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
    connection limit 3 valid until 'infinity';
    alter role airflow login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
    connection limit -1 valid until 'infinity';
    for found in
        select member.rolname as member, granted.rolname as granted
        from pg_auth_members as m
        inner join pg_authid as member on m.member = member.oid
        inner join pg_authid as granted on m.roleid = granted.oid
        where member.rolname = any(ours)
    loop
        execute format('revoke %I from %I cascade', found.granted, found.member);
    end loop;
    for found in
        select a.rolname, d.datname
        from pg_db_role_setting as s
        inner join pg_authid as a on s.setrole = a.oid
        left join pg_database as d on s.setdatabase = d.oid
        where a.rolname = any(ours)
    loop
        execute format(
            'alter role %I %s reset all',
            found.rolname, case when found.datname is not null then format('in database %I', found.datname) end
        );
    end loop;
    -- A person who asks. The guard reads these limits too, and ends who has lifted them.
    alter role lakehouse_analyst set statement_timeout = '10min';
    alter role lakehouse_analyst set transaction_timeout = '15min';
    alter role lakehouse_analyst set lock_timeout = '10s';
    alter role lakehouse_analyst set idle_in_transaction_session_timeout = '2min';
    alter role lakehouse_analyst set idle_session_timeout = '2h';
    alter role lakehouse_analyst set temp_file_limit = '4GB';
    -- Monitoring looks at a few rows; when that takes long, it had better come again.
    alter role lakehouse_monitor set statement_timeout = '30s';
    alter role lakehouse_monitor set transaction_timeout = '1min';
    alter role lakehouse_monitor set lock_timeout = '5s';
    alter role lakehouse_monitor set idle_session_timeout = '10min';
    alter role lakehouse_monitor set temp_file_limit = '256MB';
    -- Where the lake's catalog is, as far as the analyst may see it.
    alter role lakehouse_analyst set search_path = 'lake';
end;
$$;

create or replace function guard.remember() returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into guard.login (role, verifier, settings)
    select a.rolname, a.rolpassword, s.setconfig
    from pg_authid as a
    left join pg_db_role_setting as s on a.oid = s.setrole and s.setdatabase = 0
    where a.rolname in ('lakehouse_loader', 'lakehouse_analyst', 'lakehouse_monitor', 'lakehouse_guard', 'airflow')
    on conflict (role) do update set verifier = excluded.verifier, settings = excluded.settings;
$$;

create or replace function guard.analyst_limit(setting text) returns interval
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The server's own timeout comes first, where it was left alone.
    select substr(s, length(setting) + 2)::interval + interval '5 s'
    from guard.login as l, unnest(l.settings) as s
    where l.role = 'lakehouse_analyst' and starts_with(s, setting || '=');
$$;

create or replace function guard.enforce() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found record;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('lakehouse.roles', 0)) then
        return;  -- they are being restored right now
    end if;
    if exists (
        select from guard.login as l
        inner join pg_authid as a on l.role = a.rolname
        left join pg_db_role_setting as s on a.oid = s.setrole and s.setdatabase = 0
        where a.rolpassword is distinct from l.verifier or s.setconfig is distinct from l.settings
    ) or exists (
        select from guard.login as l
        inner join pg_authid as a on l.role = a.rolname
        inner join pg_db_role_setting as s on a.oid = s.setrole and s.setdatabase <> 0
    ) then
        perform guard.restore();
        for found in select l.role, l.verifier from guard.login as l loop
            execute format('alter role %I password %L', found.role, found.verifier);
        end loop;
        raise log 'lakehouse guard: a role had changed its password or settings; restored';
    end if;
    for found in
        select a.pid, 'asks for too long' as why
        from pg_stat_activity as a
        where a.usename = 'lakehouse_analyst' and (
            (a.state = 'active' and clock_timestamp() - a.query_start > guard.analyst_limit('statement_timeout'))
            or clock_timestamp() - a.xact_start > guard.analyst_limit('transaction_timeout')
            or (
                starts_with(a.state, 'idle in transaction')
                and clock_timestamp() - a.state_change > guard.analyst_limit('idle_in_transaction_session_timeout')
            )
            or (a.state = 'idle' and clock_timestamp() - a.state_change > guard.analyst_limit('idle_session_timeout'))
        )
        union all
        -- A publish waits for a minute, then fails: it does not have to.
        select a.pid, 'is in the way of the loader' as why
        from pg_locks as l
        inner join pg_stat_activity as w on l.pid = w.pid and w.usename = 'lakehouse_loader'
        cross join unnest(pg_blocking_pids(l.pid)) as blocking (pid)
        inner join pg_stat_activity as a on blocking.pid = a.pid and a.usename = 'lakehouse_analyst'
        where not l.granted and l.waitstart < clock_timestamp() - interval '20 s'
    loop
        raise log 'lakehouse guard: ends session % of the analyst, which %', found.pid, found.why;
        perform pg_terminate_backend(found.pid);
    end loop;
end;
$$;

revoke all on all functions in schema guard from public;
grant execute on function guard.enforce() to lakehouse_guard;

select guard.restore();
