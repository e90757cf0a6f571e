-- The ground that everything stands on: roles, the schema, and the migration runner's own books.
-- Runs before every migration, so each statement is safe to repeat.

-- Roles belong to the whole server, so another database's migration may be creating them at this moment.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['relay_owner nologin', 'relay_service login', 'relay_operator login'] loop
    begin
      execute 'create role ' || v_role;
    exception
      when duplicate_object or unique_violation then null;
    end;
  end loop;
  -- From PostgreSQL 16 on, whoever makes a role may give it away but not become it until it is given to them: RDS's
  -- master user is a member without usage.
  if not pg_catalog.pg_has_role(current_user, 'relay_owner', 'usage') then
    execute pg_catalog.format('grant relay_owner to %I', current_user);
  end if;
  execute pg_catalog.format('grant create, connect on database %I to relay_owner', pg_catalog.current_database());
  -- A login role without a password cannot log in where passwords are asked for: the deployment sets it.
  if (select rolconfig from pg_catalog.pg_roles where rolname = 'relay_operator') is null then
    alter role relay_operator set search_path = relay, public;
    alter role relay_operator set default_transaction_read_only = on;
    alter role relay_operator set statement_timeout = '60s';
  end if;
  if (select rolconfig from pg_catalog.pg_roles where rolname = 'relay_service') is null then
    alter role relay_service set jit = off;
    alter role relay_service set statement_timeout = '60s';
    alter role relay_service set lock_timeout = '5s';
    alter role relay_service set idle_in_transaction_session_timeout = '10s';
  end if;
exception
  when unique_violation then null;
  when sqlstate 'XX000' then null;  -- 'tuple concurrently updated': the other migration did it
end;
$$;

create schema if not exists relay authorization relay_owner;

set local role relay_owner;

-- Global for this owner, because a default per schema cannot take away what PUBLIC has by nature.
alter default privileges for role relay_owner revoke execute on functions from public;

create table if not exists relay.schema_migration (
  name text not null,
  sha256 text not null,
  oldest_program text,
  applied_at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint schema_migration_pkey primary key (name)
);

create table if not exists relay.deployment (
  singleton boolean not null default true,
  environment text not null,
  stamped_at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint deployment_pkey primary key (singleton),
  constraint deployment_singleton check (singleton),
  constraint deployment_environment check (environment in ('production', 'staging', 'development'))
);

grant usage on schema relay to relay_service, relay_operator;

create or replace function relay.begin_migration(
  p_name text,
  p_sha256 text
)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select case when schema_migration.sha256 = p_sha256 then 'same' else 'changed' end
      from relay.schema_migration
      where schema_migration.name = p_name
    ),
    'new'
  );
$$;

comment on function relay.begin_migration is 'Whether a file is new, or was applied with the same content, or with another.';

create or replace function relay.newest_migration()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select pg_catalog.max(schema_migration.name) from relay.schema_migration where schema_migration.name ~ '^[0-9]';
$$;

comment on function relay.newest_migration is 'The newest numbered file that was applied; null before the first.';

create or replace function relay.finish_migration(
  p_name text,
  p_sha256 text,
  p_oldest_program text
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into relay.schema_migration (name, sha256, oldest_program)
  values (p_name, p_sha256, p_oldest_program)
  on conflict (name) do update
  set sha256 = excluded.sha256, oldest_program = excluded.oldest_program, applied_at = pg_catalog.clock_timestamp();
$$;

comment on function relay.finish_migration is 'Books a file as applied.';

create or replace function relay.stamp_environment(
  p_environment text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into relay.deployment (environment) values (p_environment) on conflict do nothing;
  return (select deployment.environment from relay.deployment);
end;
$$;

comment on function relay.stamp_environment is
  'Stamps the environment into a database that has none; answers the one that it has. It never changes.';
