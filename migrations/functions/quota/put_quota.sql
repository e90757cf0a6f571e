create or replace function relay.put_quota(
  p_quota_key text,
  p_slots integer,          -- null: as it is
  p_per_minute integer,     -- null: as it is; 0: no limit
  p_per_day integer         -- null: as it is; 0: no limit
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slots integer;
begin
  if p_slots not between 1 and 1000 or p_per_minute not between 0 and 1000000 or p_per_day not between 0 and 100000000 then
    raise exception 'slots must lie in 1 to 1000, requests per minute in 0 to 1000000, per day in 0 to 100000000'
      using errcode = 'CR001';
  end if;
  -- Slots before the quota, as everywhere. A slot that is in use goes when its upload ends: see below.
  delete from relay.upload_slot
  where upload_slot.quota_key = p_quota_key
    and upload_slot.slot_no > p_slots
    and upload_slot.slot_no in (
      select spare.slot_no
      from relay.upload_slot as spare
      where spare.quota_key = p_quota_key and spare.slot_no > p_slots and spare.claim_token is null
      for update skip locked
    );
  update relay.quota
  set
    slots = coalesce(p_slots, quota.slots),
    per_minute = nullif(coalesce(p_per_minute, quota.per_minute), 0),
    per_day = nullif(coalesce(p_per_day, quota.per_day), 0)
  where quota.quota_key = p_quota_key
  returning quota.slots into v_slots;
  if v_slots is null then
    return false;
  end if;
  insert into relay.upload_slot (quota_key, slot_no)
  select p_quota_key, slot.slot_no
  from pg_catalog.generate_series(1, v_slots) as slot (slot_no)
  where not exists (
    select from relay.upload_slot where upload_slot.quota_key = p_quota_key and upload_slot.slot_no = slot.slot_no
  )
  on conflict do nothing;
  return true;
end;
$$;

comment on function relay.put_quota is
  'Sets what the sites of one quota key share: uploads in flight, requests per minute and per day. False where no site has '
  'this key. Fewer slots: those above are taken by no claim from now on; one that is in use ends with its upload. '
  'Raises CR001 for bad arguments. Locks: slots, then the quota.';

grant execute on function relay.put_quota to relay_service;
