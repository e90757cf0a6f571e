create or replace function relay.read_provider_credentials(
  p_group_ids integer[]
)
returns table (group_id integer, key_version integer, source text, wrapped bytea, sealed bytea)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    provider_credentials.group_id, provider_credentials.key_version, vault_key.source, vault_key.wrapped,
    provider_credentials.sealed
  from relay.provider_credentials
  join relay.vault_key on vault_key.key_version = provider_credentials.key_version
  where provider_credentials.group_id = any (p_group_ids);
$$;

comment on function relay.read_provider_credentials is
  'The sealed credentials of groups, each with the wrapped data key that opens them. A row per group that has some.';

grant execute on function relay.read_provider_credentials to relay_service;
