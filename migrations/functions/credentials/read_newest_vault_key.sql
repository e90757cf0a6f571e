create or replace function relay.read_newest_vault_key()
returns table (key_version integer, source text, wrapped bytea)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select vault_key.key_version, vault_key.source, vault_key.wrapped
  from relay.vault_key
  order by vault_key.key_version desc
  limit 1;
$$;

comment on function relay.read_newest_vault_key is 'The data key that new secrets are sealed with; no row before the first.';

grant execute on function relay.read_newest_vault_key to relay_service;
