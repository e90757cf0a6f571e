create or replace function relay.read_vault_standing(
  p_provider_keys text[]
)
returns table (key_version integer, source text, wrapped bytea, is_newest boolean, hold_ids bigint[])
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    vault_key.key_version, vault_key.source, vault_key.wrapped,
    vault_key.key_version = (select pg_catalog.max(newest.key_version) from relay.vault_key as newest),
    coalesce(standing.hold_ids, '{}')
  from relay.vault_key
  left join lateral (
    select pg_catalog.array_agg(hold.hold_id) as hold_ids
    from relay.hold
    where hold.provider_key = any (p_provider_keys)
      and hold.scope = 'provider'
      and hold.scope_key = 'key version ' || vault_key.key_version
      and hold.lifted_at is null
  ) as standing on true
  where standing.hold_ids is not null
    or vault_key.key_version = (select pg_catalog.max(newest.key_version) from relay.vault_key as newest)
  order by vault_key.key_version desc;
$$;

comment on function relay.read_vault_standing is
  'The data key that new secrets are sealed with, and each that did not open and for which uploads to these providers are '
  'held, with those holds. The newest first; no row before the first key.';

grant execute on function relay.read_vault_standing to relay_service;
