create or replace function relay.keep_provider_account(
  p_site_id uuid,
  p_provider_key text,
  p_key_version integer,
  p_sealed bytea,
  p_quota_key text,
  p_client_key text,
  p_transport text,
  p_per_minute integer,     -- of a new quota key; null: no limit
  p_per_day integer,
  p_conversion_action text, -- null: not known
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (group_id integer, holds_lifted integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- The group is locked by it, and stays so.
  select put.group_id, put.holds_lifted
  from relay.put_credentials_with_budget(
    p_site_id, p_provider_key, p_key_version, p_sealed, p_quota_key, p_per_minute, p_per_day, p_now
  ) as put
  into group_id, holds_lifted;
  update relay.delivery_group
  set client_key = p_client_key, transport = p_transport, conversion_action = p_conversion_action
  where delivery_group.group_id = keep_provider_account.group_id;
  return next;
end;
$$;

comment on function relay.keep_provider_account is
  'Stores a site''s sealed credentials as relay.put_credentials_with_budget does, with what is known of them unsealed: a digest '
  'of the OAuth client, by which a hold of the client finds its sites, and the transport that they name, which ends a switch '
  'to another, and the conversion action. One row. Locks the group.';

grant execute on function relay.keep_provider_account to relay_service;
