create or replace function relay.read_secrets_to_reseal(
  p_kind text,              -- credentials or ingest_key
  p_after integer,          -- the last id that was looked at
  p_limit integer
)
returns table (
  secret_id integer, site_id uuid, provider_key text, key_version integer, source text, wrapped bytea, sealed bytea
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_newest integer := (select pg_catalog.max(vault_key.key_version) from relay.vault_key);
begin
  if p_kind = 'credentials' then
    return query
    select
      provider_credentials.group_id, delivery_group.site_id, delivery_group.provider_key, vault_key.key_version,
      vault_key.source, vault_key.wrapped, provider_credentials.sealed
    from relay.provider_credentials
    join relay.delivery_group on delivery_group.group_id = provider_credentials.group_id
    join relay.vault_key on vault_key.key_version = provider_credentials.key_version
    where provider_credentials.group_id > p_after and provider_credentials.key_version < v_newest
    order by provider_credentials.group_id
    limit p_limit;
  elsif p_kind = 'ingest_key' then
    return query
    select
      ingest_key.key_id, ingest_key.site_id, ''::text, vault_key.key_version, vault_key.source, vault_key.wrapped,
      ingest_key.sealed
    from relay.ingest_key
    join relay.vault_key on vault_key.key_version = ingest_key.key_version
    where ingest_key.key_id > p_after and ingest_key.key_version < v_newest
    order by ingest_key.key_id
    limit p_limit;
  else
    raise exception 'p_kind must be credentials or ingest_key' using errcode = 'CR001';
  end if;
end;
$$;

comment on function relay.read_secrets_to_reseal is
  'What is sealed with an older data key than the newest, by id from p_after on, at most p_limit, with what opens it. '
  'provider_key is empty of what is for no provider. Raises CR001 for another kind.';

grant execute on function relay.read_secrets_to_reseal to relay_service;
