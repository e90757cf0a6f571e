create or replace function relay.put_credentials_with_budget(
  p_site_id uuid,
  p_provider_key text,
  p_key_version integer,
  p_sealed bytea,
  p_quota_key text,
  p_per_minute integer,     -- null: no limit; so is the next
  p_per_day integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (group_id integer, holds_lifted integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_stored record;
begin
  -- The group before the quota, as there. Of two at once the first makes the key, and neither touches one that is there.
  perform relay.ensure_groups(
    array[p_site_id], array[p_provider_key], coalesce(p_now, pg_catalog.clock_timestamp())
  );
  insert into relay.quota (quota_key, per_minute, per_day)
  select p_quota_key, p_per_minute, p_per_day
  where not exists (select from relay.quota where quota.quota_key = p_quota_key)
  on conflict do nothing;
  select stored.group_id, stored.holds_lifted
  from relay.put_provider_credentials(p_site_id, p_provider_key, p_key_version, p_sealed, p_quota_key, p_now) as stored
  into v_stored;
  -- What was found of the old ones is no news, and the new ones are looked at soon.
  update relay.delivery_group set probed_at = '-infinity' where delivery_group.group_id = v_stored.group_id;
  return query select v_stored.group_id, v_stored.holds_lifted;
end;
$$;

comment on function relay.put_credentials_with_budget is
  'As relay.put_provider_credentials, and where nobody had the quota key yet it gets this request budget; a key that is known '
  'keeps what it has. The group''s turn to be probed comes next. One row. Locks the group.';

grant execute on function relay.put_credentials_with_budget to relay_service;
