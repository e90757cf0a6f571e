create or replace function relay.put_access_token(
  p_token_key text,
  p_key_version integer,
  p_sealed bytea,
  p_expires_at timestamptz
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into relay.access_token (token_key, key_version, sealed, expires_at)
  values (p_token_key, p_key_version, p_sealed, p_expires_at)
  on conflict (token_key) do update
  set key_version = excluded.key_version, sealed = excluded.sealed, expires_at = excluded.expires_at;
$$;

comment on function relay.put_access_token is 'Shares a sealed access token with the other runners, until it expires.';

grant execute on function relay.put_access_token to relay_service;
