create or replace function relay.drop_old_access_tokens()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dropped integer;
begin
  delete from relay.access_token
  where access_token.key_version < (select pg_catalog.max(vault_key.key_version) from relay.vault_key);
  get diagnostics v_dropped = row_count;
  return v_dropped;
end;
$$;

comment on function relay.drop_old_access_tokens is
  'Deletes the shared access tokens under older data keys than the newest, and says how many: each is a request away.';

grant execute on function relay.drop_old_access_tokens to relay_service;
