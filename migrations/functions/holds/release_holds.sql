create or replace function relay.release_holds(
  p_hold_id bigint,         -- null: every hold that the rest names
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_code text,              -- null: every code
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (holds integer, sites integer, conversions integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_hold_ids bigint[];
  v_groups integer[];
begin
  if p_hold_id is null and p_site_id is null and p_code is null then
    raise exception 'name a hold, a site or a code' using errcode = 'CR001';
  end if;
  select pg_catalog.array_agg(hold.hold_id)
  from relay.hold
  join relay.delivery_group on delivery_group.group_id = hold.group_id
  where hold.lifted_at is null
    and hold.lifts_at is null
    -- Credentials alone bring a site back.
    and hold.code <> 'SITE_REMOVED'
    and (p_hold_id is null or hold.hold_id = p_hold_id)
    and (p_code is null or hold.code = p_code)
    and (p_provider_key is null or delivery_group.provider_key = p_provider_key)
    -- One of a client or a transport is not one site's.
    and (p_site_id is null or hold.provider_key is null and delivery_group.site_id = p_site_id)
  into v_hold_ids;

  -- Groups before holds, in the order of their ids, as everywhere.
  perform
  from relay.delivery_group
  where delivery_group.hold_id = any (v_hold_ids)
    or delivery_group.group_id in (select hold.group_id from relay.hold where hold.hold_id = any (v_hold_ids))
  order by delivery_group.group_id
  for no key update;
  v_now := coalesce(p_now, pg_catalog.clock_timestamp());

  update relay.hold set lifted_at = v_now where hold.hold_id = any (v_hold_ids) and hold.lifted_at is null;
  get diagnostics holds = row_count;
  -- A group that something else stops stays stopped, by that.
  update relay.delivery_group
  set
    hold_id = other.hold_id,
    turn_at = case
      when other.hold_id is not null then 'infinity'
      else greatest(v_now, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until)
    end
  from relay.delivery_group as stopped
  left join lateral (
    select hold.hold_id
    from relay.hold
    where hold.lifted_at is null
      and (
        hold.group_id = stopped.group_id and hold.scope in ('site', 'client', 'provider')
        or hold.provider_key = stopped.provider_key and hold.scope = 'client' and hold.scope_key = stopped.client_key
        or hold.provider_key = stopped.provider_key and hold.scope = 'provider' and hold.scope_key = stopped.transport
      )
    order by hold.hold_id
    limit 1
  ) as other on true
  where stopped.hold_id = any (v_hold_ids) and delivery_group.group_id = stopped.group_id;
  get diagnostics sites = row_count;

  with freed as (
    delete from relay.held where held.hold_id = any (v_hold_ids) returning held.*
  ), told as (
    insert into relay.conversion_outcome (conversion_id, seq, outcome, code, retry_count, next_attempt_at, recorded_at)
    select freed.conversion_id, freed.seq + 1, 'REQUEUED', 'HOLD_LIFTED', freed.retry_count, v_now, v_now
    from freed
  ), back as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, retry_count, omitted, maybe_delivered
    )
    select
      freed.group_id, case when freed.expires_at < v_now + interval '48 hours' then 0 else 1 end, v_now,
      freed.conversion_id, freed.expires_at, freed.target, freed.seq + 1, freed.retry_count, freed.omitted,
      freed.maybe_delivered
    from freed
    returning ready.group_id
  )
  select pg_catalog.count(*), pg_catalog.array_agg(distinct back.group_id) from back into conversions, v_groups;
  if v_groups is not null then
    perform relay.call_groups(v_groups, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_groups)]));
  end if;
  return next;
end;
$$;

comment on function relay.release_holds is
  'Lifts holds by an operator''s hand: what they parked and stopped goes on at once, and where nothing was mended the next '
  'request holds it again. Not those that end by themselves, nor of a site that was removed. One row: holds, sites that were stopped, conversions that were '
  'parked. Raises CR001 where nothing narrows the call. Locks: groups in order, holds, what they parked.';

grant execute on function relay.release_holds to relay_service;
