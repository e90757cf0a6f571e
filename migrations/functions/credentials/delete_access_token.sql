create or replace function relay.delete_access_token(
  p_token_key text
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from relay.access_token where access_token.token_key = p_token_key;
  return found;
end;
$$;

comment on function relay.delete_access_token is
  'Forgets the shared access token of a client and grant; says whether there was one. Whoever shares it fetches another.';

grant execute on function relay.delete_access_token to relay_service;
