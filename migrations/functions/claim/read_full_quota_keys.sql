create or replace function relay.read_full_quota_keys(
  p_now timestamptz
)
returns text[]
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Only keys that are in use can be full, so that what is idle costs nothing.
  select coalesce(pg_catalog.array_agg(full_key.quota_key), '{}')
  from (
    select quota.quota_key
    from relay.quota
    where quota.throttled_until > p_now
    union
    select used.quota_key
    from (select distinct inflight.quota_key from relay.inflight where inflight.lease_until > p_now) as used
    join relay.quota on quota.quota_key = used.quota_key
    where not exists (
      select
      from relay.upload_slot
      where upload_slot.quota_key = used.quota_key
        and upload_slot.slot_no <= quota.slots
        and upload_slot.lease_until <= p_now
    )
  ) as full_key;
$$;

comment on function relay.read_full_quota_keys is
  'Quota keys without a free slot, or told to wait: a claim passes them over as a whole, and their groups keep their place '
  'in the line. Called by functions.';
