create or replace function relay.prune_vault_keys(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before timestamptz := coalesce(p_now, pg_catalog.clock_timestamp()) - interval '1 day';
  v_pruned integer;
begin
  delete from relay.vault_key
  where exists (
      select
      from relay.vault_key as newer
      where newer.key_version > vault_key.key_version and newer.created_at <= v_before
    )
    and not exists (
      select from relay.provider_credentials where provider_credentials.key_version = vault_key.key_version
    )
    and not exists (select from relay.ingest_key where ingest_key.key_version = vault_key.key_version)
    and not exists (select from relay.access_token where access_token.key_version = vault_key.key_version);
  get diagnostics v_pruned = row_count;
  return v_pruned;
end;
$$;

comment on function relay.prune_vault_keys is
  'Deletes the data keys that nothing is sealed with any more and that another has taken the place of for a day, and says how '
  'many. The newest stays. Locks: those keys; whoever seals with one at this moment keeps it.';

grant execute on function relay.prune_vault_keys to relay_service;
