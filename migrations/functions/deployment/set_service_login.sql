create or replace function relay.set_service_login(
  p_name text,
  p_verifier text                  -- as PostgreSQL keeps a password: SCRAM-SHA-256$…; never the password
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role record;
  v_setting text;
begin
  if p_verifier !~ '^SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$' then
    raise exception 'p_verifier must be one of SCRAM-SHA-256' using errcode = 'CR001';
  end if;
  select
    pg_roles.oid,
    pg_roles.rolconfig,
    pg_roles.rolsuper or pg_roles.rolcreaterole or pg_roles.rolcreatedb or pg_roles.rolreplication or pg_roles.rolbypassrls
      as is_mighty
  from pg_catalog.pg_roles
  where pg_roles.rolname = p_name
  into v_role;
  if p_name in (session_user, current_user, 'relay_owner', 'relay_operator') then
    return 'is a login with another purpose: the service has one of its own';
  elsif p_name = '' or pg_catalog.octet_length(p_name) > 63 or p_name ~ '^pg_' then
    return 'is no name for a login';
  elsif v_role.oid is null then
    execute pg_catalog.format('create role %I', p_name);
    execute pg_catalog.format('grant relay_service to %I', p_name);
  elsif v_role.is_mighty or pg_catalog.pg_has_role(v_role.oid, 'relay_owner', 'member') then
    return 'may do more than the service: its password is not touched';
  elsif not pg_catalog.pg_has_role(v_role.oid, 'relay_service', 'member') then
    return 'is somebody else''s: grant relay_service to it, or take another name';
  end if;
  -- What a role is set to does not go to its members.
  if v_role.rolconfig is null then
    foreach v_setting in array (
      select coalesce(pg_roles.rolconfig, '{}') from pg_catalog.pg_roles where pg_roles.rolname = 'relay_service'
    ) loop
      execute pg_catalog.format(
        'alter role %I set %I to %L',
        p_name,
        pg_catalog.split_part(v_setting, '=', 1),
        pg_catalog.substr(v_setting, pg_catalog.strpos(v_setting, '=') + 1)
      );
    end loop;
  end if;
  execute pg_catalog.format('alter role %I with login password %L', p_name, p_verifier);
  return null;
end;
$$;

comment on function relay.set_service_login is
  'Sets the password of the login that programs use, and makes it as a member of relay_service where there is none of that name. '
  'Runs as its caller, who has to have CREATEROLE. Answers null, or why a login of this name is not touched: it is the caller, may '
  'do more than the service, or is no member of relay_service. Raises CR001 for what is no verifier.';
