create or replace function relay.keep_provider_credentials(
  p_site_id uuid,
  p_provider_key text,
  p_key_version integer,
  p_sealed bytea,
  p_quota_key text,
  p_client_key text,
  p_transport text,
  p_per_minute integer,     -- of a new quota key; null: no limit
  p_per_day integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (group_id integer, holds_lifted integer)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select kept.group_id, kept.holds_lifted
  from relay.keep_provider_account(
    p_site_id, p_provider_key, p_key_version, p_sealed, p_quota_key, p_client_key, p_transport, p_per_minute, p_per_day, null,
    p_now
  ) as kept;
$$;

comment on function relay.keep_provider_credentials is
  'As relay.keep_provider_account, for programs that do not say which conversion action the credentials name.';

grant execute on function relay.keep_provider_credentials to relay_service;
