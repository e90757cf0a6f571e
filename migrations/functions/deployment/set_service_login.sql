create or replace function relay.set_service_login(
  p_name text,
  p_verifier text                  -- as PostgreSQL keeps a password: SCRAM-SHA-256$…; never the password. Null: it stays
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role record;
  v_setting record;
  v_goes_beyond boolean;
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
  -- By way of other roles, too. A membership without inheritance is one `set role` away.
  with recursive membership as (
    select pg_auth_members.roleid from pg_catalog.pg_auth_members where pg_auth_members.member = v_role.oid
    union
    select pg_auth_members.roleid
    from membership
    join pg_catalog.pg_auth_members on pg_auth_members.member = membership.roleid
  )
  select exists (
    select
    from membership
    join pg_catalog.pg_roles on pg_roles.oid = membership.roleid
    where pg_roles.rolname not in ('relay_service', p_name)
  )
  into v_goes_beyond;
  if p_name in (session_user, current_user, 'relay_owner', 'relay_operator') then
    return 'is a login with another purpose: the service has one of its own';
  elsif p_name = '' or pg_catalog.octet_length(p_name) > 63 or p_name ~ '^pg_'
    or p_name in ('public', 'none', 'user', 'current_user', 'current_role', 'session_user') then
    return 'is no name for a login';
  elsif v_role.oid is null then
    execute pg_catalog.format('create role %I', p_name);
    execute pg_catalog.format('grant relay_service to %I', p_name);
  elsif v_role.is_mighty or v_goes_beyond then
    return 'may do more than the service: its password is not touched';
  elsif not pg_catalog.pg_has_role(v_role.oid, 'relay_service', 'member') then
    return 'is somebody else''s: grant relay_service to it, or take another name';
  end if;
  -- What a role is set to does not go to its members.
  for v_setting in (
    select
      pg_catalog.split_part(setting.text, '=', 1) as name,
      pg_catalog.substr(setting.text, pg_catalog.strpos(setting.text, '=') + 1) as value
    from pg_catalog.pg_roles
    cross join pg_catalog.unnest(pg_roles.rolconfig) as setting (text)
    where pg_roles.rolname = 'relay_service'
      and setting.text <> all (coalesce(v_role.rolconfig, '{}'))
  ) loop
    -- A list of names is kept with its quotes; as one text it would be one name.
    execute pg_catalog.format(
      'alter role %I set %I to %s',
      p_name,
      v_setting.name,
      case
        when v_setting.name in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') then (
          select
            coalesce(
              pg_catalog.string_agg(
                pg_catalog.quote_literal(coalesce(pg_catalog.replace(part.found[1], '""', '"'), part.found[2])),
                ', ' order by part.ordinality
              ),
              pg_catalog.quote_literal('')
            )
          from pg_catalog.regexp_matches(v_setting.value, '"((?:[^"]|"")*)"|([^", ]+)', 'g')
            with ordinality as part (found, ordinality)
        )
        else pg_catalog.quote_literal(v_setting.value)
      end
    );
  end loop;
  if p_verifier is not null then
    execute pg_catalog.format('alter role %I with login password %L', p_name, p_verifier);
  end if;
  return null;
end;
$$;

comment on function relay.set_service_login is
  'Makes the login that programs use as a member of relay_service where there is none of its name, puts its settings right, and sets '
  'its password where a verifier is given. Runs as its caller, who has to have CREATEROLE. Answers null, or why a login of this name is '
  'not touched: it is the caller, may do more than the service (by itself or as a member), or is no member of relay_service. Raises '
  'CR001 for what is no verifier.';
