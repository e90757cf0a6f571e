create or replace function relay.read_access_token(
  p_token_key text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (key_version integer, source text, wrapped bytea, sealed bytea, expires_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select access_token.key_version, vault_key.source, vault_key.wrapped, access_token.sealed, access_token.expires_at
  from relay.access_token
  join relay.vault_key on vault_key.key_version = access_token.key_version
  where access_token.token_key = p_token_key
    and access_token.expires_at > coalesce(p_now, pg_catalog.statement_timestamp());
$$;

comment on function relay.read_access_token is 'The shared access token of a client and grant, while it is good; else no row.';

grant execute on function relay.read_access_token to relay_service;
