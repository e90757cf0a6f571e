create or replace function relay.enqueue_offline_conversions(
  p_site_ids uuid[],
  p_provider_keys text[],
  p_external_ids text[],
  p_kinds text[],
  p_digests bytea[],
  p_due_at timestamptz[],
  p_expires_at timestamptz[],
  p_payloads jsonb[],
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (item integer, result text, conversion_id bigint)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select taken.item, case taken.result when 'site_removed' then 'expired' else taken.result end, taken.conversion_id
  from relay.take_in_offline_conversions(
    p_site_ids, p_provider_keys, p_external_ids, p_kinds, p_digests, p_due_at, p_expires_at, p_payloads, null, null, p_now
  ) as taken;
$$;

comment on function relay.enqueue_offline_conversions is
  'For programs of before relay.take_in_offline_conversions: the same, without orders. What they bring waits for no other write '
  'of its order; and what comes for a site that was removed is told as expired: not taken in.';

grant execute on function relay.enqueue_offline_conversions to relay_service;
